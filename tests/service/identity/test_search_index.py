"""A search does not read what others wrote before: it lies in the index soon after."""

import asyncpg
from identity.search_index import merge_pending
from service.identity.client import IdentityClient
from tenantry.servers import Servers

_USERS = """
INSERT INTO users (tenant_id, id, email, email_verified, status, metadata, version, created_at,
                   updated_at)
SELECT $1, 'usr_' || n, 'user' || n || '@example.com', true, 'active', '{}', 1, now(), now()
  FROM generate_series(1, 300) AS n
"""


async def test_the_service_moves_what_is_pending(client: IdentityClient, servers: Servers) -> None:
    await client.pool.execute(_USERS, client.tenant)
    await client.create_organization(name="Acme")
    await merge_pending(client.pool)
    owner = await asyncpg.connect(servers.migration_url("identity"))
    for index in ("users_search", "users_search_sample", "organizations_search"):
        # How many pages of the list it had to move.
        assert await owner.fetchval("SELECT gin_clean_pending_list($1::regclass)", index) == 0
    await owner.close()
