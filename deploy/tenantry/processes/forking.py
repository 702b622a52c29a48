"""Processes of the product are forked from the supervisor, which has imported what they run.

They share the memory of all that they do not change. A forked process is as one that was started:
it leads a session of its own, has its environment, log and name, and dies with the supervisor. But
its memory holds what the supervisor knew, secrets.json included, which its user may read anyway: so
this is for one machine. Linux alone has what it needs; elsewhere each is started as a program.
"""

import asyncio
import ctypes
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

HIGHEST_DESCRIPTOR = 65_536
_preloaded: set[str] = set()
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""That the supervisor handles."""


@dataclass(frozen=True)
class Fork:
    """What a forked process is: the module whose `main` it runs, and what it has of its own."""

    module: str
    argv: tuple[str, ...]
    """As it would be started; `ps` shows it."""
    env: dict[str, str]
    lock: int
    """The one file descriptor that it keeps."""


def preload(modules: Iterable[str]) -> None:
    """Imports what processes will be forked for. Garbage collections leave these objects alone from
    now on: whatever they touched would no longer be shared.
    """
    for module in modules:
        importlib.import_module(module)
        _preloaded.add(module)
    gc.collect()
    gc.freeze()


def can_fork(module: str) -> bool:
    """Whether it has been preloaded: that it happens to be imported is not enough."""
    return module in _preloaded


class ForkedProcess:
    """As `asyncio.subprocess.Process`, as far as the supervisor needs it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        descriptor = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(descriptor, self._reap, descriptor)

    async def wait(self) -> int:
        """The exit code; of a signal that ended it, the negative number."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Does nothing when it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def _reap(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set()


def fork(process: Fork, log: int, die_with_parent: Callable[[], None]) -> ForkedProcess:
    """Raises OSError."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or the child would write it as well
    # What signals the child before it has handlers of its own must not reach those of its parent.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _run(process, log, die_with_parent)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return ForkedProcess(pid)


def _run(process: Fork, log: int, die_with_parent: Callable[[], None]) -> NoReturn:
    """In the child: nothing of the supervisor's stack or event loop is ever returned to."""
    code = 1
    try:
        os.setsid()
        die_with_parent()
        _inherit_nothing(log, process.lock)
        os.environ.clear()
        os.environ.update(process.env)
        _show(process.argv, process.env)
        sys.argv = [process.argv[0]]
        importlib.import_module(process.module).main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - as at the end of any program
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _inherit_nothing(log: int, lock: int) -> None:
    """But the log and the lock: signals as at the start of a program, no other file descriptor."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for standard, descriptor in enumerate((nothing, log, log)):
        os.dup2(descriptor, standard)
    os.closerange(3, lock)
    os.closerange(lock + 1, HIGHEST_DESCRIPTOR)


def _show(argv: Iterable[str], env: dict[str, str]) -> None:
    """Writes command line and environment to where /proc has those of the supervisor, as far as
    there is room.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    arguments, _, environment, end = (int(each) for each in fields[45:49])
    _fill(arguments, environment - arguments, argv)
    _fill(environment, end - environment, (f"{name}={value}" for name, value in env.items()))


def _fill(address: int, size: int, words: Iterable[str]) -> None:
    content = b"".join(f"{each}\0".encode() for each in words)[: size - 1]
    ctypes.memmove(address, content.ljust(size, b"\0"), size)
