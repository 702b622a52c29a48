"""A proof is a handful of reads, however long the trail is."""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from chassis.database import Pool
from contracts import audit as calls
from contracts.ids import new_id
from support.long_trail import extend_trail
from support.owner import Owner
from tenantry.servers import Servers

SMALL, LARGE = 10_000, 10_000_000
ROUNDS = 40
MOST = 3.0

# The hashes are anybody's: what a proof costs does not depend on what they are of.
_TILES = """
INSERT INTO tiles (tenant_id, level, index, hashes, root)
SELECT $1, $2::smallint, n, decode(repeat(md5(n::text), 512), 'hex'), sha256(n::text::bytea)
  FROM generate_series(0, $3::bigint - 1) AS n
"""


async def trail_of(database: Pool, servers: Servers, size: int) -> tuple[str, str]:
    """A tenant with the tiles of so many events, the last 300 of them, and one of the middle."""
    tenant = new_id("ten")
    url = servers.migration_url("audit")
    await extend_trail(url, tenant, 1)
    middle = size // 2
    move = "UPDATE events SET sequence = $2 WHERE tenant_id = $1 AND sequence = $3"
    await database.execute(move, tenant, middle, 1)
    await database.execute(
        "UPDATE heads SET sequence = $2 WHERE tenant_id = $1", tenant, size - 300
    )
    await extend_trail(url, tenant, 300)
    for level in range(4):
        count = size >> 8 * (level + 1)
        await database.execute(_TILES, tenant, level, count, timeout=300)
    await database.execute(
        "INSERT INTO checkpoints SELECT $1, $2, '' ON CONFLICT DO NOTHING", tenant, middle - 1
    )
    found = "SELECT id FROM events WHERE tenant_id = $1 AND sequence = $2"
    return tenant, await database.fetchval(found, tenant, middle)


@pytest.fixture(scope="module")
async def trails(database: Pool, servers: Servers) -> AsyncIterator[dict[int, tuple[str, str]]]:
    """By size. Their tiles go afterwards: other tests read whole tables."""
    made = {size: await trail_of(database, servers, size) for size in (SMALL, LARGE)}
    await database.execute("ANALYZE tiles", timeout=300)
    yield made
    tenants = [tenant for tenant, _ in made.values()]
    await database.execute("DELETE FROM tiles WHERE tenant_id = any($1)", tenants, timeout=300)


async def seconds(call: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    answer = await call()
    assert answer.status == 200, answer.body
    return time.perf_counter() - begun


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
async def test_a_proof_of_ten_million_costs_three_of_ten_thousand_at_most(
    audit: Owner, trails: dict[int, tuple[str, str]], kind: str
) -> None:
    found: dict[int, list[float]] = {SMALL: [], LARGE: []}
    for _ in range(ROUNDS):
        for size, (tenant, event_id) in trails.items():
            if kind == "inclusion":
                call = lambda t=tenant, e=event_id, s=size: audit.call(  # noqa: E731
                    calls.GET_INCLUSION, t, path={"event_id": e}, query={"size": s}
                )
            else:
                call = lambda t=tenant, s=size: audit.call(  # noqa: E731
                    calls.GET_CONSISTENCY, t, query={"from": s - s // 3, "to": s}
                )
            found[size].append(await seconds(call))
    small, large = (statistics.median(found[size]) for size in (SMALL, LARGE))
    assert large <= MOST * small, f"{small * 1000:.2f} ms, {large * 1000:.2f} ms"
