"""Projects alone on its database."""

from collections.abc import AsyncIterator

import pytest
from projects.rpc import ROUTES
from service.projects.world import World
from support.owner import owner_of
from tenantry.servers import Servers


@pytest.fixture(scope="session")
async def world(servers: Servers) -> AsyncIterator[World]:
    async with owner_of("projects", ROUTES, servers) as owner:
        yield World(owner)


@pytest.fixture
async def tenant(world: World) -> str:
    """A tenant of this test alone."""
    made = await world.new_tenant()
    return str(made["tenant"]["id"])
