"""Projects alone on its database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from chassis.statements import Statement, parameters
from contracts.ids import new_id
from projects.rpc import ROUTES
from projects.tables import TENANTS
from service.projects.world import World
from sqlalchemy import insert
from support.owner import Owner, owner_of
from tenantry.servers import Servers

_INSERT = Statement(
    insert(TENANTS).values(parameters(each for each in TENANTS.c if each.name != "search"))
)


@pytest.fixture(scope="session")
async def projects(servers: Servers) -> AsyncIterator[Owner]:
    async with owner_of("projects", ROUTES, servers) as owner:
        yield owner


@pytest.fixture(scope="session")
def world(projects: Owner) -> World:
    return World(projects)


@pytest.fixture
async def tenant(projects: Owner) -> str:
    """A tenant of this test alone."""
    return await new_tenant(projects)


@pytest.fixture
async def other_tenant(projects: Owner) -> str:
    return await new_tenant(projects)


async def new_tenant(projects: Owner) -> str:
    tenant, now = new_id("ten"), datetime.now(UTC)
    row = {"id": tenant, "name": "Test", "slug": tenant.replace("_", "-"), "status": "active"}
    row |= {"settings": "{}", "version": 1, "created_at": now, "updated_at": now}
    async with projects.pool.acquire() as conn:
        await _INSERT.execute(conn, **row)
    return tenant
