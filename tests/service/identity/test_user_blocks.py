"""Users are counted by blocks, so that a page by number is found without a walk over all before it;
it is exact at any moment.
"""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from chassis.database import Pool
from chassis.statements import Statement
from identity import counters
from identity.users.user_search import LIST
from service.identity.client import IdentityClient

pytestmark = pytest.mark.usefixtures("folded")

# Their identifiers begin in 200 ways.
_ADD = """
INSERT INTO users (tenant_id, id, email, email_verified, status, metadata, version, created_at,
                   updated_at)
SELECT $1, id, id || '@example.com', true, 'active', '{}', 1, now(), now()
  FROM (SELECT 'usr_01jz0' || lpad((n * 37 % 200)::text, 3, '0') || lpad(n::text, 17, '0') AS id
          FROM generate_series($2::int, $3::int) AS n) AS made
"""
_REMOVE = "DELETE FROM users WHERE tenant_id = $1 AND hashtext(id) % 5 = $2"
_SUSPEND = "UPDATE users SET status = 'suspended' WHERE tenant_id = $1 AND hashtext(id) % 3 = 0"
_SPLIT = "SELECT split_user_blocks(ARRAY[$1], 16)"
_BLOCKS = Statement(counters.USER_BLOCKS)
Statement.all.pop()
_WRONG = f"""
SELECT count(*) AS blocks, count(*) FILTER (WHERE number <> (
           SELECT count(*) FROM users WHERE tenant_id = $1 AND id >= key)) AS wrong
  FROM ({_BLOCKS.sql}) AS block
"""


async def count_blocks(pool: Pool, tenant: str) -> int:
    """How many blocks there are, of which none is wrong."""
    found = await pool.fetchrow(_WRONG, *_BLOCKS.arguments({"tenant_id": tenant}))
    assert found["wrong"] == 0
    return int(found["blocks"])


async def check_pages(pool: Pool, tenant: str) -> None:
    """A page from any offset on has the rows of the whole list that are there."""
    ids = [
        row["id"] for row in await pool.fetch("SELECT id FROM users WHERE tenant_id = $1", tenant)
    ]
    for sort in ("-created_at", "created_at"):
        page = LIST.deep_page((), sort)
        whole = sorted(ids, reverse=sort.startswith("-"))
        for offset in [0, 1, *random.sample(range(len(ids)), 20), len(ids) - 1, len(ids), 2**62]:
            rows = await page.fetch_all(pool, tenant_id=tenant, offset=offset, limit=7)
            assert [row.id for row in rows] == whole[offset : offset + 7], (sort, offset)


async def test_pages_are_exact_whatever_is_folded_and_split(client: IdentityClient) -> None:
    pool, tenant = client.pool, client.tenant
    await pool.execute(_ADD, tenant, 1, 500)
    await check_pages(pool, tenant)
    await counters.fold(pool)
    assert await count_blocks(pool, tenant) == 1
    await pool.execute(_ADD, tenant, 501, 800)
    await pool.execute(_SPLIT, tenant)
    assert await count_blocks(pool, tenant) > 40
    await check_pages(pool, tenant)
    for some in range(-4, 5):
        await pool.execute(_REMOVE, tenant, some)
        await check_pages(pool, tenant) if some < 4 else None
        await counters.fold(pool) if some % 2 else None
        await count_blocks(pool, tenant)
    await pool.execute(_ADD, tenant, 801, 1_000)
    await pool.execute(_SUSPEND, tenant)
    await counters.fold(pool)
    await check_pages(pool, tenant)
    await pool.execute(_SPLIT, tenant)
    await count_blocks(pool, tenant)
    await check_pages(pool, tenant)


@pytest.fixture(name="writers")
async def _writers(client: IdentityClient) -> AsyncIterator[asyncio.Task[None]]:
    async def add_and_remove(first: int) -> None:
        for begin in range(first, first + 3_000, 100):
            await client.pool.execute(_ADD, client.tenant, begin, begin + 99)
            await client.pool.execute(_REMOVE, client.tenant, random.randint(-4, 4))

    async def write() -> None:
        await asyncio.gather(add_and_remove(1), add_and_remove(10_001))

    task = asyncio.create_task(write())
    yield task
    await task


async def test_blocks_are_exact_while_others_write(
    client: IdentityClient, writers: asyncio.Task[None]
) -> None:
    most = 0
    while not writers.done():
        await counters.fold(client.pool)
        await count_blocks(client.pool, client.tenant)
        await client.pool.execute(_SPLIT, client.tenant)
        most = max(most, await count_blocks(client.pool, client.tenant))
    assert most > 10
    await check_pages(client.pool, client.tenant)


async def test_a_block_that_has_grown_is_split(client: IdentityClient) -> None:
    await client.pool.execute(_ADD, client.tenant, 1, 9_000)
    await counters.fold(client.pool)
    assert await count_blocks(client.pool, client.tenant) == 3
