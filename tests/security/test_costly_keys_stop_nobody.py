"""RSA keys cost 40-200 ms each: whoever asks for many, others' credentials are looked up."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiohttp import ClientSession, TCPConnector
from support.api import Api, new_tenant
from support.stack import Stack

pytestmark = pytest.mark.alone


ATTACKERS = 40
LOOKS = 60
FLOOR = 0.05
"""Seconds: below this a p95 on a machine with other work says nothing."""


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        yield session


async def new_keys(api: Api, count: int) -> list[Api]:
    """Callers with keys that no edge has looked up yet."""
    project = await api("POST", "/v1/admin/projects", {"name": uuid4().hex})
    path = f"/v1/admin/projects/{project.body['id']}/api-keys"
    body = {"name": "k", "scopes": ["users:read"]}
    made = [await api("POST", path, body) for _ in range(count)]
    return [api.as_key(each.body["secret"]) for each in made]


async def p95(callers: list[Api]) -> float:
    """Of a request by each, whose credential is looked up."""
    times = []
    for caller in callers:
        began = time.perf_counter()
        assert (await caller("GET", "/v1/admin/users?limit=1")).status == 200
        times.append(time.perf_counter() - began)
    return statistics.quantiles(times, n=20)[-1]


@pytest.mark.parametrize("attack", ["create", "rotate"])
async def test_forty_rsa_keys_at_once_delay_no_other_tenants_look_up(
    stack: Stack, http: ClientSession, attack: str
) -> None:
    attacker, victim = [
        await new_tenant(http, stack.url, stack.ready["operator_key"]) for _ in range(2)
    ]
    callers = await new_keys(victim, 2 * LOOKS)
    project = await attacker("POST", "/v1/admin/projects", {"name": "P"})
    rotate = f"/v1/admin/projects/{project.body['id']}/signing-keys/rotate"
    statuses: Counter[int] = Counter()
    stopping = asyncio.Event()

    async def attack_for_ever() -> None:
        while not stopping.is_set():
            if attack == "create":
                settings = {"signing_algorithm": "RS256"}
                body = {"name": uuid4().hex, "settings": settings}
                answer = await attacker("POST", "/v1/admin/projects", body)
            else:
                body = {"algorithm": "RS256", "force": True, "grace_period": 0}
                answer = await attacker("POST", rotate, body)
            statuses[answer.status] += 1
            if answer.status in (429, 503):
                assert answer.headers["Retry-After"] == "1"
                await asyncio.sleep(1)

    quiet = await p95(callers[:LOOKS])
    attackers = [asyncio.create_task(attack_for_ever()) for _ in range(ATTACKERS)]
    await asyncio.sleep(0.5)  # all of them are at it
    try:
        attacked = await p95(callers[LOOKS:])
    finally:
        stopping.set()
        await asyncio.gather(*attackers)
    assert attacked <= max(3 * quiet, FLOOR), (quiet, attacked, statuses)
    assert set(statuses) <= {201, 429, 503}
    assert statuses[201] > 0, "keys are made all the while"
