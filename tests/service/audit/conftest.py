"""Audit alone on its database."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from audit.events import take
from audit.rpc import ROUTES
from audit.settings import AuditSettings
from chassis.database import Pool, open_pool
from contracts.ids import new_id
from outbox.inbox import ReceivedEvent, process_once
from support.owner import Owner, owner_of
from tenantry.servers import Servers

Hear = Callable[..., Awaitable[None]]


@pytest.fixture(scope="session")
async def audit(servers: Servers) -> AsyncIterator[Owner]:
    async with owner_of("audit", ROUTES, servers, AuditSettings) as owner:
        yield owner


@pytest.fixture(scope="session")
async def behind(audit: Owner, servers: Servers) -> AsyncIterator[Pool]:
    """The database as its owner has it: whoever tampers, tampers here."""
    pool = await open_pool(servers.migration_url("audit"), 2)
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture
def hear(audit: Owner) -> Hear:
    """Takes events in as one batch, through the inbox, in one transaction."""

    async def take_all(*events: ReceivedEvent) -> None:
        async with audit.pool.acquire() as conn:
            await process_once(conn, take, events)

    return take_all


@pytest.fixture
def tenant() -> str:
    """A tenant of this test alone."""
    return new_id("ten")
