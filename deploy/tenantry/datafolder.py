"""The data folder: everything one installation keeps, used by one `tenantry dev` at a time.

The lock is inherited by every child, so it is free only when the last process of a run is gone.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenantry.problems import CannotStart

LOG_LIMIT = 10 * 1024 * 1024
LEFTOVERS_GRACE = 8.0
OWNER_GRACE = 1.0


@dataclass(frozen=True)
class DataFolder:
    root: Path
    lock: int
    """File descriptor that holds the lock; children inherit it."""

    def folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def log(self, name: str) -> Path:
        return self.folder("logs") / f"{name}.log"

    def rotate_logs(self) -> None:
        for log in self.folder("logs").glob("*.log"):
            if log.stat().st_size > LOG_LIMIT:
                log.replace(log.with_suffix(".log.1"))


@contextmanager
def open_data_folder(root: Path) -> Iterator[DataFolder]:
    """Make it if need be and hold its lock. Raises CannotStart when it is in use or not ours."""
    root = root.absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(
            f"cannot use {root} ({error.strerror}): choose another folder with --data"
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
    """Waits a little: when a run was killed, the kernel ends its processes within moments."""
    begun = time.monotonic()
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - begun
            owner = int(os.pread(lock, 20, 0) or 0)
            if waited > OWNER_GRACE and owner and _is_alive(owner):
                raise CannotStart(
                    f"another `tenantry dev` (pid {owner}) uses {root}: "
                    "stop it, or choose another folder with --data"
                ) from None
            if waited > LEFTOVERS_GRACE:
                raise CannotStart(
                    f"processes of an earlier run still use {root}: "
                    f"`lsof {root / 'lock'}` names them"
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


def write_json(path: Path, content: Any) -> None:
    """Replace the file in one step, readable by its owner only; survives a crash at any moment."""
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
