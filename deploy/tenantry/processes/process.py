"""Starting and stopping a child process, and reading the end of its log.

Each is the leader of its own session, so that Ctrl-C reaches the supervisor only; on Linux the
kernel ends it when the supervisor dies.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tenantry.errors import ProgramFailed
from tenantry.processes.forking import Fork, can_fork, fork

PR_SET_PDEATHSIG = 1
TAIL_BYTES = 4096
TAIL_LINES = 15

StopSteps = Sequence[tuple[signal.Signals, float]]
"""Signals in order, each with the seconds that a process has to obey."""

_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


@dataclass(frozen=True)
class RunAs:
    """Another user to run as: through a wrapper that drops privileges, or by the bare ids."""

    wrapper: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None


@dataclass(frozen=True)
class Program:
    """What to run. `env` is its whole environment: secrets go there, never into `argv`."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    log: Path
    lock: int
    """File descriptor of the data folder's lock."""
    cwd: Path | None = None
    run_as: RunAs = field(default_factory=RunAs)
    death_signal: signal.Signals = signal.SIGKILL
    module: str = ""
    """Has the `main` that the program runs: where it is preloaded, the process is forked."""


class Process(Protocol):
    """A running process, started or forked."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, number: int, /) -> None: ...


async def spawn(program: Program) -> Process:
    """Raises ProgramFailed when the program does not exist or may not be run."""
    run_as = program.run_as
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    die_with_parent = _die_with_parent(program.death_signal)
    try:
        if can_fork(program.module) and die_with_parent is not None:
            forked = Fork(program.module, program.argv, program.env, program.lock)
            return fork(forked, log, die_with_parent)
        return await asyncio.create_subprocess_exec(
            *run_as.wrapper,
            *program.argv,
            env=program.env,
            cwd=program.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(program.lock,),
            preexec_fn=die_with_parent,
            user=run_as.user,
            group=run_as.group,
            extra_groups=None if run_as.user is None else [],
        )
    except OSError as error:
        raise ProgramFailed(program.name, f"could not be started: {error}", "") from error
    finally:
        os.close(log)


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    prctl, parent = _prctl, os.getpid()

    def in_child() -> None:
        prctl(PR_SET_PDEATHSIG, death_signal.value, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before the request was made

    return in_child


def kill_group(leader: int) -> None:
    """Kill the leader and what it started. Does nothing when all have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


async def stop_process(
    process: Process,
    steps: StopSteps,
    kill_now: asyncio.Event | None = None,
) -> None:
    """Send each signal in turn until the process has ended, then kill its group.

    Only the leader gets the signals, so that it stops its own children in order (initdb: without
    leaving shared memory). `kill_now` cuts the first wait short, so that a second Ctrl-C takes
    effect at once.
    """
    ended = asyncio.ensure_future(process.wait())
    killed = asyncio.ensure_future((kill_now or asyncio.Event()).wait())
    for step, (number, seconds) in enumerate(steps):
        with suppress(ProcessLookupError):
            process.send_signal(number)
        waiting = {ended} if step else {ended, killed}
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            break
    killed.cancel()
    kill_group(process.pid)
    await ended


async def run_program(program: Program) -> None:
    """Run it until it ends. Raises ProgramFailed with the end of its log unless it succeeds."""
    start = log_size(program.log)
    process = await spawn(program)
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        await stop_process(process, ((signal.SIGTERM, 2.0),))
        raise
    if status != 0:
        raise ProgramFailed(program.name, describe_exit(status), log_tail(program.log, start))


def describe_exit(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def log_size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def log_tail(log: Path, start: int = 0) -> str:
    """The last lines written since the offset `start`."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(start, log_size(log) - TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-TAIL_LINES:])
