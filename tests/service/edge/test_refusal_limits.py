"""Which refused attempts of a key are recorded, by one edge and by two."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from chassis.telemetry import REFUSALS_UNRECORDED
from contracts.ids import new_id
from edge.app import make_redis
from edge.limits.refusal_limits import MAX_A_DAY, RefusalLimits
from redis.asyncio import Redis
from tenantry.servers import Servers

ADDRESSES = [f"203.{block}.{number}.7" for block in range(2) for number in range(150)]
"""Each of another /24."""


@pytest.fixture(params=["redis", "alone"])
async def redis(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Redis | None]:
    if request.param == "alone":
        yield None
        return
    assert servers.redis_url is not None
    client = make_redis(servers.redis_url)
    yield client
    await client.aclose()


async def recorded(limits: RefusalLimits, key: str, addresses: list[str]) -> int:
    due = [each for each in addresses if limits.may_be_due(key, each)]
    return sum(await asyncio.gather(*(limits.is_due(key, each) for each in due)))


def unrecorded() -> float:
    return sum(sample.value for each in REFUSALS_UNRECORDED.collect() for sample in each.samples
               if sample.name.endswith("_total"))  # fmt: skip


async def test_a_network_has_one_a_minute(redis: Redis | None) -> None:
    limits, key = RefusalLimits(redis), new_id("key")
    assert await recorded(limits, key, [f"203.0.113.{number}" for number in range(200)]) == 1
    assert await recorded(limits, key, [f"2001:db8::{number:x}" for number in range(200)]) == 1
    assert await recorded(limits, key, ["203.0.114.1", "2001:db8:0:1::1"]) == 2
    assert await recorded(limits, new_id("key"), ["203.0.113.1"]) == 1


async def test_a_key_has_a_hundred_a_day_and_then_a_count(redis: Redis | None) -> None:
    limits, key, before = RefusalLimits(redis), new_id("key"), unrecorded()
    assert await recorded(limits, key, ADDRESSES) == MAX_A_DAY
    assert unrecorded() - before == len(ADDRESSES) - MAX_A_DAY
    assert await recorded(limits, key, [f"198.51.{number}.1" for number in range(250)]) == 0
    assert unrecorded() - before == len(ADDRESSES) - MAX_A_DAY + 250


async def test_two_edges_record_what_one_would(servers: Servers) -> None:
    assert servers.redis_url is not None
    client = make_redis(servers.redis_url)
    edges, key = [RefusalLimits(client) for _ in range(2)], new_id("key")
    counts = await asyncio.gather(*(recorded(each, key, ADDRESSES[:40]) for each in edges))
    assert sum(counts) == 40
    await client.aclose()
