"""Statements go on while a migration changes what they select."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from projects.tokens.session_tokens import GET_ACTIVE_KEY
from service.projects.client import ProjectsClient
from tenantry.servers import Servers


@pytest.fixture
async def migration(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(servers.migration_url("projects"))
    try:
        yield connection
    finally:
        await connection.execute("ALTER TABLE signing_keys ALTER COLUMN algorithm TYPE text")
        await connection.close()


async def test_rows_have_their_attributes_after_a_column_has_changed(
    client: ProjectsClient, tenant: str, migration: asyncpg.Connection
) -> None:
    project = await client.create_project(tenant)
    async with client.pool.acquire() as conn:
        before = await GET_ACTIVE_KEY.fetch_one(conn, tenant_id=tenant, project_id=project)
        await migration.execute("ALTER TABLE signing_keys ALTER COLUMN algorithm TYPE varchar(99)")
        after = await GET_ACTIVE_KEY.fetch_one(conn, tenant_id=tenant, project_id=project)
    assert before is not None
    assert after is not None
    assert (after.id, after.tenant_status) == (before.id, "active")
    assert vars(after) == vars(before)
    assert repr(after) == repr(before)
