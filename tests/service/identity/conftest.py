"""Identity alone on its database."""

from collections.abc import AsyncIterator

import pytest
from contracts.ids import new_id
from identity.rpc import ROUTES
from support.owner import Owner, owner_of
from tenantry.servers import Servers


@pytest.fixture(scope="session")
async def identity(servers: Servers) -> AsyncIterator[Owner]:
    async with owner_of("identity", ROUTES, servers) as owner:
        yield owner


@pytest.fixture
def tenant() -> str:
    """A tenant of this test alone."""
    return new_id("ten")
