"""Migrations of one service's database, with errors that say what to do, and drafts of new ones."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
from chassis import migrations, tls
from chassis.database import UNAVAILABLE
from sqlalchemy.exc import ArgumentError, DBAPIError

from tenantry.errors import CommandFailed
from tenantry.servers import backing_servers

T = TypeVar("T")


def upgrade(service: str, url: str, *, after_rollout: bool = False) -> list[str]:
    """Returns what it applied, oldest first: revisions, then what waits for the rollout."""
    return _run(partial(migrations.upgrade, after_rollout=after_rollout), service, url)


def pending(service: str, url: str, *, after_rollout: bool = False) -> list[str]:
    """What `upgrade` would apply."""
    return _run(partial(migrations.pending, after_rollout=after_rollout), service, url)


def is_known(service: str, revision: str) -> bool:
    """Whether this release has the revision: a later one is another release's."""
    return revision in migrations.revisions(service)


async def draft(service: str, message: str) -> None:
    """Writes `<service>/migrations/versions/<number>_<message>.py`, to be read and corrected.

    It compares the tables with a throw-away PostgreSQL at the newest revision.
    """
    with TemporaryDirectory() as folder:
        async with backing_servers(Path(folder), with_redis=False) as servers:
            url = servers.migration_url(service)
            await asyncio.to_thread(migrations.upgrade, service, url)
            await asyncio.to_thread(migrations.draft, service, url, message)


def _run(step: Callable[[str, str], T], service: str, url: str) -> T:
    try:
        return step(service, url)
    except (ArgumentError, ValueError, DBAPIError, asyncpg.PostgresError, *UNAVAILABLE) as error:
        cause = getattr(error, "orig", None) or error
        reason = (str(cause) or type(cause).__name__).splitlines()[0]
        raise CommandFailed(
            f"the schema of {service} at {urlsplit(url).hostname}: {reason}",
            tls.fix_of(error, "DATABASE")
            or f"Check TENANTRY_{service.upper()}_MIGRATION_URL (the role {service}_owner) and "
            "that PostgreSQL runs.",
            code="migration_failed",
        ) from None
