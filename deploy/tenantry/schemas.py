"""Migrations of one service's database, whose failures say what to do."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
from chassis import migrations
from chassis.database import UNAVAILABLE
from sqlalchemy.exc import ArgumentError, DBAPIError

from tenantry.failing import Failed

T = TypeVar("T")


def upgrade(service: str, url: str) -> list[str]:
    """Answers the revisions that it applied, oldest first."""
    return _tried(migrations.upgrade, service, url)


def pending(service: str, url: str) -> list[str]:
    """The revisions that the database still lacks, oldest first."""
    return _tried(migrations.pending, service, url)


def _tried(step: Callable[[str, str], T], service: str, url: str) -> T:
    try:
        return step(service, url)
    except (ArgumentError, ValueError, DBAPIError, asyncpg.PostgresError, *UNAVAILABLE) as error:
        cause = getattr(error, "orig", None) or error
        said = (str(cause) or type(cause).__name__).splitlines()[0]
        raise Failed(
            f"the schema of {service} at {urlsplit(url).hostname}: {said}",
            f"Check TENANTRY_{service.upper()}_MIGRATION_URL (the role {service}_owner) and that "
            "PostgreSQL runs.",
            code="migration_failed",
        ) from None
