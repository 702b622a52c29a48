"""Limits of credentials and of tenants: shared by edges through Redis, and by each edge without."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from contracts.ids import new_id
from edge.app import make_redis
from edge.limits.rate_limits import RateLimits
from redis.asyncio import Redis
from tenantry.servers import Servers

RATE = (10, 10)
TENANT = (50, 10)
"""Of windows so long that a machine which stands still for a moment lets nothing more through."""


@pytest.fixture(params=["redis", "alone"])
async def redis(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Redis | None]:
    if request.param == "alone":
        yield None
        return
    assert servers.redis_url is not None
    client = make_redis(servers.redis_url)
    yield client
    await client.aclose()


async def allowed(limits: RateLimits, keys: list[str], tenant: str, times: int) -> int:
    grants = [await limits.take(key, tenant) for _ in range(times) for key in keys]
    return sum(grant.allowed for grant in grants)


async def test_six_keys_of_a_tenant_have_five_times_the_limit_of_one(redis: Redis | None) -> None:
    limits = RateLimits(redis, RATE, TENANT)
    keys, tenant = [new_id("key") for _ in range(20)], new_id("ten")
    let_through = await allowed(limits, keys, tenant, 15)
    assert 2 * TENANT[0] <= let_through < 3 * TENANT[0]
    refused = await limits.take(new_id("key"), tenant)
    assert not refused.allowed
    assert refused.headers[b"ratelimit-policy"] == b'"tenant";q=50;w=10'
    assert refused.headers[b"ratelimit"].startswith(b'"tenant";r=0;')
    assert "tenant" in refused.problem().detail
    other = await limits.take(new_id("key"), new_id("ten"))
    assert other.allowed
    assert other.headers[b"ratelimit-policy"] == b'"default";q=10;w=10'


async def test_one_key_keeps_its_own_limit(redis: Redis | None) -> None:
    limits = RateLimits(redis, RATE, TENANT)
    let_through = await allowed(limits, [new_id("key")], new_id("ten"), 60)
    assert 2 * RATE[0] <= let_through < 3 * RATE[0]


async def test_two_edges_share_the_limit_of_a_tenant(servers: Servers) -> None:
    assert servers.redis_url is not None
    client = make_redis(servers.redis_url)
    edges = [RateLimits(client, RATE, TENANT) for _ in range(2)]
    tenant = new_id("ten")
    let_through = await asyncio.gather(
        *(allowed(edge, [new_id("key") for _ in range(20)], tenant, 8) for edge in edges)
    )
    assert 2 * TENANT[0] <= sum(let_through) < 3 * TENANT[0]
    await client.aclose()


async def test_many_keys_that_ask_once_waste_nothing_of_their_tenant(redis: Redis | None) -> None:
    """A lease of each key must not be drawn from the tenant's bucket as well."""
    limits = RateLimits(redis, (100, 1), (100, 1))
    tenant = new_id("ten")
    assert await allowed(limits, [new_id("key") for _ in range(180)], tenant, 1) == 180


async def test_many_at_once_are_refused_by_the_bucket_alone(redis: Redis | None) -> None:
    """Not because another one has drawn the lease that they waited for."""
    limits = RateLimits(redis, RATE, TENANT)
    keys, tenant = [new_id("key") for _ in range(8)], new_id("ten")
    grants = await asyncio.gather(*(limits.take(key, tenant) for key in keys * 10))
    assert sum(grant.allowed for grant in grants) >= 80
