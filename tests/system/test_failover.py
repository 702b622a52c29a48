"""PostgreSQL fails over: another server is at the same address, and the pools are full of the dead.

No connection was closed: each seems to be good until it is used.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from chaos.stack import ProxiedStack, proxied_stack
from contracts.topology import SERVICE_NAMES
from support.api import Api, new_tenant
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

POOL = 10
UNAVAILABLE = {503: "service_unavailable", 504: "upstream_timeout"}
HEALED_WITHIN = 5.0
"""Seconds from the moment that the new server takes connections."""
FORGOTTEN_WITHIN = 20.0
"""Seconds until nobody waits any more for a server that vanished with its machine."""


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


def switch_over(stack: ProxiedStack, *, silently: bool = False) -> None:
    """From now on the address is another server's, which is ready."""
    for service in SERVICE_NAMES:
        stack.proxies[service, "postgres"].detach(silently=silently)


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
        assert each.status in (200, 201, *UNAVAILABLE), each.raw
        if each.status in UNAVAILABLE:
            assert each.body["code"] == UNAVAILABLE[each.status]
            assert each.status == 504 or each.headers["Retry-After"]
    return Counter(each.status for each in answers)


async def healed(caller: Api, seconds: float = HEALED_WITHIN) -> list[Counter[int]]:
    """Round by round, until one is all good."""
    began = time.monotonic()
    rounds = [await at_once(caller)]
    while rounds[-1].keys() & UNAVAILABLE:
        assert time.monotonic() - began < seconds, rounds
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
    await check_that_events_go_on(caller, 30)


async def test_a_server_that_vanished_with_its_machine_is_soon_forgotten(
    stack: ProxiedStack, caller: Api
) -> None:
    await fill_the_pools(stack, caller)
    switch_over(stack, silently=True)
    rounds = await healed(caller, FORGOTTEN_WITHIN)
    assert rounds[0].keys() & UNAVAILABLE
    await check_that_events_go_on(caller, FORGOTTEN_WITHIN)


async def check_that_events_go_on(caller: Api, seconds: float) -> None:
    email = f"{uuid4().hex}@example.com"

    async def created() -> str | None:
        answer = await caller("POST", "/v1/admin/users", {"email": email}, idempotency_key=email)
        assert answer.status in (201, *UNAVAILABLE), answer.raw
        return answer.body["id"] if answer.status == 201 else None

    user_id = await until(created)
    answer = None

    async def heard() -> list[dict[str, Any]]:
        nonlocal answer
        answer = await caller("GET", f"/v1/admin/audit?resource_id={user_id}")
        return answer.body["events"] if answer.status == 200 else []

    events = await until(heard, seconds, why=lambda: answer)
    assert [each["action"] for each in events] == ["user.created"]
