"""The adversary is a plain connection of the runtime role, without a line of our code."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from audit.rpc import handlers
from audit.settings import AuditSettings
from audit.subscribers import handle_events
from chassis.database import open_pool
from contracts.ids import new_id
from outbox.inbox import process_once
from support.owner import Owner, audit_settings, heard, owner_of
from tenantry.servers import Servers


@pytest.fixture(scope="session")
async def audit(servers: Servers) -> AsyncIterator[Owner]:
    pool = await open_pool(servers.database_url("audit"), 1)
    calls = handlers(exports=pool, proofs=pool, settings=audit_settings(servers))
    async with owner_of("audit", calls, servers, AuditSettings) as owner:
        yield owner
    await pool.close()


@pytest.fixture
async def thief(audit: Owner, servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """Whoever has the password of the runtime role of audit."""
    conn = await asyncpg.connect(servers.database_url("audit"))
    try:
        yield conn
    finally:
        await conn.close()


@pytest.fixture
async def trail(audit: Owner) -> str:
    """A tenant with ten events, each with a personal part."""
    tenant = new_id("ten")
    changes = {"changes": {"email": {"from": "a@x.test", "to": "b@x.test"}}}
    events = [heard(tenant, "user.updated", new_id("usr"), changes) for _ in range(10)]
    async with audit.pool.acquire() as conn:
        await process_once(conn, handle_events, events)
    return tenant
