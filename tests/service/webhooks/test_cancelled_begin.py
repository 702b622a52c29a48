"""After a BEGIN that is cancelled on its way a connection looks sound, and commits nothing more."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from outbox.inbox import is_too_slow, is_transient
from tenantry.servers import Servers

ATTEMPTS = 100


@pytest.fixture
async def conn(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """PostgreSQL is in a transaction that asyncpg does not end."""
    for _ in range(ATTEMPTS):
        conn = await asyncpg.connect(servers.database_url("webhooks"))
        begin = asyncio.ensure_future(conn.transaction().start())
        await asyncio.sleep(0)
        begin.cancel()
        await asyncio.wait({begin})
        await conn.fetchval("SELECT 1")
        if conn.is_in_transaction():
            yield conn
            conn.terminate()
            return
        conn.terminate()
    pytest.fail("every BEGIN was cancelled in time")


async def test_what_follows_is_not_committed_so_the_connection_is_given_up(
    conn: asyncpg.Connection, servers: Servers
) -> None:
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(4711)")
    other = await asyncpg.connect(servers.database_url("webhooks"))
    assert not await other.fetchval("SELECT pg_try_advisory_xact_lock(4711)")
    await other.close()
    assert not await is_too_slow(conn, TimeoutError())


async def test_a_transaction_that_was_ended_for_it_is_transient(conn: asyncpg.Connection) -> None:
    await conn.execute("ROLLBACK")
    with pytest.raises(asyncpg.NoActiveSQLTransactionError) as raised:
        async with conn.transaction():
            pass
    assert is_transient(raised.value)
