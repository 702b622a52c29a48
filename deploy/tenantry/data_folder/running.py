"""Where other commands find a running `tenantry dev`: `<data>/running.json`, mode 0600.

It exists from the moment the servers run until `tenantry dev` stops. A run that was killed leaves
it behind, so a reader also checks that the folder is locked.
"""

import fcntl
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tenantry.atomic_file import write_json

NAME = "running.json"


@dataclass(frozen=True)
class RunningStack:
    """URLs with their passwords. `databases` as the runtime roles, `migrations` as the owners."""

    url: str
    databases: dict[str, str]
    migrations: dict[str, str]
    nats_admin_url: str
    nats_subscriber_url: str
    redis_url: str | None
    console_url: str | None = None


def save_running(root: Path, stack: RunningStack) -> None:
    write_json(root / NAME, asdict(stack))


def remove_running(root: Path) -> None:
    with suppress(OSError):
        (root / NAME).unlink()


def find_running(root: Path) -> RunningStack | None:
    """What runs on the folder; None when nothing does."""
    try:
        with (root / "lock").open("rb") as lock:
            if _can_be_locked(lock.fileno()):
                return None
        return RunningStack(**json.loads((root / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _can_be_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True
