"""The data folder of one installation, used by one `tenantry dev` at a time.

Every child process inherits the lock, so the lock is free only when the last process of a run has
ended.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tenantry.errors import CannotStart

MAX_LOG_BYTES = 10 * 1024 * 1024
WAIT_FOR_OWNER = 1.0
"""Seconds to wait for a `tenantry dev` that is alive."""
WAIT_FOR_CHILDREN = 8.0
"""Seconds to wait for the child processes of a run that was killed."""


@dataclass(frozen=True)
class DataFolder:
    root: Path
    lock: int
    """File descriptor that holds the lock; child processes inherit it."""

    def folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def log(self, name: str) -> Path:
        return self.folder("logs") / f"{name}.log"

    @property
    def link_file(self) -> Path:
        """The token of a one-time link to the console, between its making and its showing."""
        return self.root / "console-link"

    def rotate_logs(self) -> None:
        for log in self.folder("logs").glob("*.log"):
            if log.stat().st_size > MAX_LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))


@contextmanager
def open_data_folder(root: Path) -> Iterator[DataFolder]:
    """Create it if needed and hold its lock. Raises CannotStart when it is in use or unusable."""
    root = root.absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(
            f"cannot use {root} ({error.strerror})", "choose another folder with --data"
        ) from error
    try:
        _acquire(lock, root)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        (root / ".gitignore").write_text("*\n")  # it holds secrets, and often lies in a checkout
        yield DataFolder(root, lock)
    finally:
        os.close(lock)


def _acquire(lock: int, root: Path) -> None:
    """Waits a little: after a run was killed, the kernel needs a moment to end its processes."""
    started = time.monotonic()
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            owner = int(os.pread(lock, 20, 0) or 0)
            if waited > WAIT_FOR_OWNER and owner and _is_alive(owner):
                raise CannotStart(
                    f"another `tenantry dev` (pid {owner}) uses {root}",
                    "stop it, or choose another folder with --data",
                ) from None
            if waited > WAIT_FOR_CHILDREN:
                raise CannotStart(
                    f"processes of an earlier run still use {root}",
                    f"`lsof {root / 'lock'}` names them",
                ) from None
            time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
