"""PostgreSQL: a pool that opens lazily and heals, and which failures mean 'not available'."""

from typing import Any

import asyncpg
from asyncpg import Connection, Pool
from sqlalchemy import DateTime, Text

from chassis.rows import NamedRecord
from chassis.tls import tls_of

UNAVAILABLE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # a database that accepts no connections
    asyncpg.NoActiveSQLTransactionError,  # after a BEGIN that was cancelled
)
"""The database cannot be reached or gave up: nothing was committed by us, or nobody can tell."""

CONFLICTS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,
)
"""Two transactions got in each other's way, or a migration in that of a statement that was prepared
before: the loser may simply try again.
"""

PLANNING = {"jit": "off", "enable_seqscan": "off", "max_parallel_workers_per_gather": "0"}
"""Every statement is short and has an index. A plan lives as long as its connection: one that was
made while a table was empty would read all of it for each row, once there are many. To start a
second process for it takes longer than most of them.
"""

WRITE_TO_LOG = "SELECT pg_logical_emit_message(true, 'tenantry', '')"
"""A transaction that has only read writes to the log by this, so that its end waits for a
synchronous standby. What it has read may be a commit that did not wait: PostgreSQL gives up the
wait of a statement that is cancelled, as a request is at its deadline, and shows the commit.
"""

COMMAND_SECONDS = 10.0
"""For a statement, and again until a connection whose statement was given up is given up itself:
a server that vanished with its machine answers neither.
"""

IDLE_SECONDS = 60.0
"""After so long a connection that nobody used is closed: PostgreSQL keeps 2 to 5 MB for each."""

ID = Text(collation="C")
"""The column type of identifiers: TypeIDs compare as bytes."""
TIME = DateTime(timezone=True)


async def _unchanged(_: Connection) -> None:
    """A connection goes back as it is (a transaction is ended first): nobody leaves anything behind
    in a session of the pool, and a reset is a second round trip for every request.
    """


async def connect(url: str, **options: Any) -> Connection:
    """As asyncpg, with the product's rows; with TLS, where the URL asks for it, by the certificates
    of now.
    """
    tls = tls_of(url)
    options = {**options, "ssl": tls.context() if tls else None, "record_class": NamedRecord}
    return await asyncpg.connect(url, **options)


async def open_pool(url: str, size: int) -> Pool:
    """Connects on first use, so that a process starts while its database is away."""
    pool: Pool = await asyncpg.create_pool(
        url,
        connect=connect,
        min_size=0,
        max_size=size,
        reset=_unchanged,
        timeout=2,
        command_timeout=COMMAND_SECONDS,
        max_inactive_connection_lifetime=IDLE_SECONDS,
        server_settings={"timezone": "UTC", **PLANNING},
    )
    return pool


def violated(error: asyncpg.UniqueViolationError) -> str:
    """The name of the constraint or index that a row would have broken."""
    return error.constraint_name or ""


__all__ = [
    "CONFLICTS",
    "ID",
    "PLANNING",
    "TIME",
    "UNAVAILABLE",
    "Connection",
    "Pool",
    "connect",
    "open_pool",
    "violated",
]
