"""The projects service alone on its database."""

from collections.abc import AsyncIterator

import pytest
from contracts.ids import new_id
from projects.rpc import HANDLERS
from projects.tokens import token_keys
from service.projects.client import ProjectsClient
from support.owner import owner_of
from tenantry.servers import Servers


@pytest.fixture(scope="session")
async def client(servers: Servers) -> AsyncIterator[ProjectsClient]:
    async with owner_of("projects", HANDLERS, servers) as owner:
        await token_keys.maintain(owner.pool, owner.keyring)
        yield ProjectsClient(owner)


@pytest.fixture
async def tenant(client: ProjectsClient) -> str:
    """A tenant of this test alone, without keys and events."""
    return await insert_tenant(client)


@pytest.fixture
async def other_tenant(client: ProjectsClient) -> str:
    return await insert_tenant(client)


async def insert_tenant(client: ProjectsClient) -> str:
    tenant = new_id("ten")
    await client.execute(
        "INSERT INTO tenants (id, name, slug, status, settings, version, created_at, updated_at)"
        " VALUES ($1, 'Test', $2, 'active', '{}', 1, now(), now())",
        tenant,
        tenant.replace("_", "-"),
    )
    return tenant
