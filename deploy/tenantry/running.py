"""What a running `tenantry dev` tells the other commands: `<data>/running.json`, mode 0600.

There from the moment its servers run until it stops. A run that was killed leaves it behind, so a
reader also asks whether the folder is locked.
"""

import fcntl
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tenantry.datafolder import write_json
from tenantry.keys import SERVICES
from tenantry.servers import Servers

NAME = "running.json"


@dataclass(frozen=True)
class Running:
    """URLs with their passwords. `databases` as the runtime roles, `migrations` as the owners."""

    url: str
    databases: dict[str, str]
    migrations: dict[str, str]
    nats_admin_url: str
    nats_subscriber_url: str
    redis_url: str | None


def tell(servers: Servers, url: str) -> None:
    content = Running(
        url=url,
        databases={name: servers.database_url(name) for name in SERVICES},
        migrations={name: servers.migration_url(name) for name in SERVICES},
        nats_admin_url=servers.nats_url("admin"),
        nats_subscriber_url=servers.nats_url("subscriber"),
        redis_url=servers.redis_url,
    )
    write_json(servers.data.root / NAME, asdict(content))


def forget(root: Path) -> None:
    with suppress(OSError):
        (root / NAME).unlink()


def read(root: Path) -> Running | None:
    """What runs on the folder; None when nothing does."""
    try:
        with (root / "lock").open("rb") as lock:
            if _can_be_locked(lock.fileno()):
                return None
        return Running(**json.loads((root / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _can_be_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True
