"""Connections to the services' databases, with errors that say what to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
from asyncpg import Connection
from chassis import database, tls
from chassis.database import UNAVAILABLE

from tenantry.errors import CommandFailed
from tenantry.installation import Installation

T = TypeVar("T")

CONNECT_SECONDS = 5
_REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # a database that takes no connections
    asyncpg.InsufficientPrivilegeError,
    ValueError,
)
"""The server answers, and does not open this database."""


_CLOSED = (ConnectionResetError, asyncpg.ConnectionDoesNotExistError)


@asynccontextmanager
async def connect(service: str, url: str, variable: str | None = None) -> AsyncIterator[Connection]:
    """Raises CommandFailed: no connection, a broken one, or a schema older than this release.

    `variable` is what names the URL, TENANTRY_<SERVICE>_DATABASE_URL by default.
    """
    variable = variable or f"TENANTRY_{service.upper()}_DATABASE_URL"
    try:
        conn = await database.connect(
            url, timeout=CONNECT_SECONDS, server_settings={"timezone": "UTC"}
        )
    except (ValueError, asyncpg.PostgresError, *UNAVAILABLE) as error:
        raise _unavailable(service, url, variable, error) from None
    try:
        yield conn
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise CommandFailed(
            f"{service}: {error}", "Run `tenantry migrate` first.", code="schema_behind"
        ) from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise CommandFailed(
            f"{service}: {error}",
            f"{variable} must name the role {service}.",
            code="no_right",
        ) from None
    except UNAVAILABLE as error:
        raise _unavailable(service, url, variable, error) from None
    finally:
        conn.terminate()


async def run_in_each(
    installation: Installation,
    services: Sequence[str],
    work: Callable[[Connection], Awaitable[T]],
) -> dict[str, T]:
    """What `work` returns in each service's database, one after another, each in a transaction.

    All URLs are looked up before the first database is opened.
    """
    urls = {service: installation.database_url(service) for service in services}
    results = {}
    for service, url in urls.items():
        async with connect(service, url) as conn, conn.transaction():
            results[service] = await work(conn)
    return results


def _unavailable(service: str, url: str, variable: str, error: Exception) -> CommandFailed:
    parts = urlsplit(url)
    reason = str(error) or type(error).__name__
    if isinstance(error, asyncio.TimeoutError):
        reason = f"no answer in {CONNECT_SECONDS} s"
    is_lost = tls.tls_of(url) is not None and isinstance(error, _CLOSED)
    fix = tls.fix_of(error, "DATABASE", is_lost=is_lost)
    return CommandFailed(
        f"the database of {service} at {parts.hostname}: {reason}",
        fix or f"Check {variable} and that PostgreSQL runs.",
        code="database_refused" if isinstance(error, _REFUSALS) and not fix else "database_away",
        reason=reason,
        **({"tls": fix} if fix else {}),
    )
