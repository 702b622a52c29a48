"""The audit service alone on its database."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from audit.rpc import handlers
from audit.settings import AuditSettings
from audit.subscribers import handle_events
from chassis.database import Pool, open_pool
from contracts.ids import new_id
from outbox.inbox import ReceivedEvent, process_once
from support.owner import Owner, audit_settings, owner_of
from tenantry.servers import Servers

Receive = Callable[..., Awaitable[None]]


@pytest.fixture(scope="session")
async def audit(servers: Servers) -> AsyncIterator[Owner]:
    costly = await open_pool(servers.database_url("audit"), 1)
    calls = handlers(exports=costly, proofs=costly, settings=audit_settings(servers))
    async with owner_of("audit", calls, servers, AuditSettings) as owner:
        yield owner
    await costly.close()


@pytest.fixture(scope="session")
async def database(audit: Owner, servers: Servers) -> AsyncIterator[Pool]:
    """The database as the role that owns its tables: whoever tampers, tampers here."""
    pool = await open_pool(servers.migration_url("audit"), 2)
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture
def receive(audit: Owner) -> Receive:
    """Handles events as one batch, through the inbox, in one transaction."""

    async def receive_all(*events: ReceivedEvent) -> None:
        async with audit.pool.acquire() as conn:
            await process_once(conn, handle_events, events)

    return receive_all


@pytest.fixture
def tenant() -> str:
    """A tenant of this test alone."""
    return new_id("ten")
