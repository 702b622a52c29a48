"""40 proofs or exports of a long trail at once: another tenant's list does not get slower."""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable

import pytest
from security.sample_tenant import SampleTenant
from support.api import Api
from support.long_trail import extend_trail
from support.stack import Stack
from support.waiting import until

LENGTH = 50_000
AT_ONCE = 40
LIST = "/v1/admin/audit?limit=50"


async def p95(api: Api, until: Callable[[], bool]) -> float:
    """Of 40 lists, and more until that is so."""
    taken: list[float] = []
    while len(taken) < 40 or not until():
        began = time.perf_counter()
        assert (await api("GET", LIST)).status == 200
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    return statistics.quantiles(taken, n=20)[-1]


@pytest.fixture
async def long(stack: Stack, api: Api) -> Api:
    """A tenant with a trail of 50,000 events and a few."""

    async def has_begun() -> bool:
        return bool((await api("GET", LIST)).body["events"])

    await until(has_begun)
    owner = json.loads((stack.data / "running.json").read_text())["migrations"]["audit"]
    await extend_trail(owner, api.tenant, LENGTH)
    return api


@pytest.mark.alone
@pytest.mark.parametrize("path", ["/v1/admin/audit/proof", "/v1/admin/audit/export"])
async def test_forty_at_once_delay_no_other_tenant(
    long: Api, there: SampleTenant, path: str
) -> None:
    other = there.api
    quiet = await p95(other, lambda: True)
    attack = [asyncio.create_task(long("GET", path)) for _ in range(AT_ONCE)]
    busy = await p95(other, lambda: all(each.done() for each in attack))
    statuses = Counter(each.result().status for each in attack)
    assert set(statuses) <= {200, 429, 503}, statuses
    assert statuses[200] >= 1, statuses
    for each in attack:
        if each.result().status != 200:
            assert "Retry-After" in each.result().headers
    assert busy < max(3 * quiet, 0.05), f"{busy} s, quiet {quiet} s: {statuses}"


async def test_a_long_trail_is_proved_answer_by_answer(long: Api) -> None:
    after = 0
    while after is not None:
        proof = (await long("GET", f"/v1/admin/audit/proof?after={after}")).body
        assert proof["valid"] is True, proof
        assert proof["length"] > LENGTH
        after = proof["next_after"]
