"""Connections to the services' databases, whose failures say what to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
from asyncpg import Connection
from chassis.database import UNAVAILABLE

from tenantry.failing import Failed
from tenantry.installation import Backing

T = TypeVar("T")

CONNECT_SECONDS = 5


@asynccontextmanager
async def connected(service: str, url: str) -> AsyncIterator[Connection]:
    """Raises Failed when there is no connection, when it breaks, and when the schema is older."""
    try:
        conn = await asyncpg.connect(
            url, timeout=CONNECT_SECONDS, server_settings={"timezone": "UTC"}
        )
    except (ValueError, asyncpg.PostgresError, *UNAVAILABLE) as error:
        raise _away(service, url, error) from None
    try:
        yield conn
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise Failed(
            f"{service}: {error}", "Run `tenantry migrate` first.", code="schema_behind"
        ) from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise Failed(
            f"{service}: {error}",
            f"TENANTRY_{service.upper()}_DATABASE_URL must name the role {service}.",
            code="no_right",
        ) from None
    except UNAVAILABLE as error:
        raise _away(service, url, error) from None
    finally:
        conn.terminate()


def _away(service: str, url: str, error: Exception) -> Failed:
    parts = urlsplit(url)
    said = str(error) or type(error).__name__
    if isinstance(error, asyncio.TimeoutError):
        said = f"no answer within {CONNECT_SECONDS} s"
    return Failed(
        f"the database of {service} at {parts.hostname}: {said}",
        f"Check TENANTRY_{service.upper()}_DATABASE_URL and that PostgreSQL runs.",
        code="database_away",
    )


async def of_each(
    backing: Backing, services: Sequence[str], work: Callable[[Connection], Awaitable[T]]
) -> dict[str, T]:
    """What `work` answers in each service's database, one after another; each one transaction.

    All URLs are there before the first is opened.
    """
    urls = {service: backing.database(service) for service in services}
    done = {}
    for service, url in urls.items():
        async with connected(service, url) as conn, conn.transaction():
            done[service] = await work(conn)
    return done
