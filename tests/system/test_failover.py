"""PostgreSQL fails over: another server is at the same address, and the pools are full of the dead.

No connection was closed: each seems to be good until it is used.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from chaos.stack import ProxiedStack, proxied_stack
from contracts.topology import SERVICE_NAMES
from support.api import Api, new_tenant
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

POOL = 10
HEALED_WITHIN = 5.0
"""Seconds from the moment that the new server takes connections."""


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProxiedStack]:
    folder = tmp_path_factory.mktemp("failover")
    async with proxied_stack(folder) as running:
        yield running


@pytest.fixture(scope="module")
async def caller(stack: ProxiedStack) -> AsyncIterator[Api]:
    async with ClientSession() as http:
        yield await new_tenant(http, stack.base_url, stack.servers.secrets.operator_key)


async def fill_the_pools(stack: ProxiedStack, caller: Api) -> None:
    """Every connection that each may have is open, and idle."""
    proxies = [stack.proxies[service, "postgres"] for service in ("identity", "projects")]
    paths = ("/v1/admin/users", "/v1/admin/projects")

    async def are_full() -> bool:
        many = [caller("GET", path) for path in paths for _ in range(6 * POOL)]
        assert {each.status for each in await asyncio.gather(*many)} <= {200, 503}
        return all(len(proxy.connections) >= POOL for proxy in proxies)

    await until(are_full)


def switch_over(stack: ProxiedStack) -> None:
    """From now on the address is another server's, which is ready."""
    for service in SERVICE_NAMES:
        stack.proxies[service, "postgres"].detach()


async def fail_over(stack: ProxiedStack) -> None:
    """The old server dies without a word; returns when the new one takes connections."""
    switch_over(stack)
    old = stack.processes["postgres"].pid
    stack.kill("postgres")

    async def took_over() -> bool:
        child = stack.processes["postgres"]
        return child.ready and child.pid != old

    await until(took_over, 30)


async def at_once(caller: Api) -> Counter[int]:
    """Reads and writes enough to need every connection; answers how often each status came."""
    names = [uuid4().hex for _ in range(2 * POOL)]
    organizations = [caller("POST", "/v1/admin/organizations", {"name": each}) for each in names]
    answers = await asyncio.gather(
        *organizations, *(caller("GET", "/v1/admin/projects") for _ in names)
    )
    for each in answers:
        assert each.status in (200, 201, 503), each.raw
        if each.status == 503:
            assert each.body["code"] == "service_unavailable"
            assert each.headers["Retry-After"]
    return Counter(each.status for each in answers)


async def healed(caller: Api) -> list[Counter[int]]:
    """Round by round, until one is without a 503."""
    began = time.monotonic()
    rounds = [await at_once(caller)]
    while rounds[-1][503]:
        assert time.monotonic() - began < HEALED_WITHIN, rounds
        rounds.append(await at_once(caller))
    sys.stdout.write(f"\n{rounds}: healed after {time.monotonic() - began:.2f} s\n")
    return rounds


async def test_whoever_meets_a_dead_connection_gets_a_503_and_soon_nobody_does(
    stack: ProxiedStack, caller: Api
) -> None:
    await fill_the_pools(stack, caller)
    switch_over(stack)
    rounds = await healed(caller)
    assert 0 < rounds[0][503] <= 2 * POOL


async def test_after_a_failover_the_first_requests_are_good_or_a_503_and_soon_all_are_good(
    stack: ProxiedStack, caller: Api
) -> None:
    await fill_the_pools(stack, caller)
    await fail_over(stack)
    await healed(caller)


async def test_events_go_on_after_a_failover(stack: ProxiedStack, caller: Api) -> None:
    await fill_the_pools(stack, caller)
    await fail_over(stack)

    async def made() -> bool:
        body = {"email": "after@example.com"}
        answer = await caller("POST", "/v1/admin/users", body, idempotency_key="after")
        assert answer.status in (201, 503), answer.raw
        return answer.status == 201

    await until(made)

    async def heard() -> bool:
        answer = await caller("GET", "/v1/admin/audit?action=user.created")
        return answer.status == 200 and len(answer.body["events"]) == 1

    await until(heard, 30)
