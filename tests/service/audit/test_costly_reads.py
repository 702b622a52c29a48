"""Proofs and exports of long trails: they end, and nobody else waits for them."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from audit.app import EXPORTS, PROOFS
from audit.rpc import handlers
from audit.settings import AuditSettings
from audit.subscribers import handle_events
from chassis.database import open_pool
from contracts import audit as calls
from contracts.ids import new_id
from outbox.inbox import process_once
from support.long_trail import extend_trail
from support.owner import Owner, audit_settings, heard, owner_of
from tenantry.servers import Servers, backing_servers

MILLION = 1_000_000
EDGE_SECONDS = 1.8
"""How long an edge waits."""


@pytest.fixture(scope="module")
async def own_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Of this module alone: what it stores is a burden to others."""
    folder: Path = tmp_path_factory.mktemp("costly")
    async with backing_servers(folder, with_redis=False) as running:
        yield running


@pytest.fixture(scope="module")
async def busy(own_servers: Servers) -> AsyncIterator[Owner]:
    """The service as its process has it."""
    url = own_servers.database_url("audit")
    exports, proofs = await open_pool(url, EXPORTS), await open_pool(url, PROOFS)
    both = handlers(exports=exports, proofs=proofs, settings=audit_settings(own_servers))
    async with owner_of("audit", both, own_servers, AuditSettings) as owner:
        yield owner
    await exports.close()
    await proofs.close()


async def prove(owner: Owner, tenant: str, after: int = 0) -> list[dict[str, Any]]:
    """All answers, as a caller gets them one after another."""
    found: list[dict[str, Any]] = []
    while after is not None:
        began = time.monotonic()
        answer = await owner.call(calls.GET_PROOF, tenant, query={"after": after})
        assert time.monotonic() - began < EDGE_SECONDS
        found.append(answer.body)
        after = answer.body["next_after"]
    return found


async def p95(step: Callable[[], Awaitable[object]], until: Callable[[], bool]) -> float:
    """Of 30 steps, and more as long as it takes."""
    taken: list[float] = []
    while len(taken) < 30 or not until():
        began = time.perf_counter()
        await step()
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    return statistics.quantiles(taken, n=20)[-1]


@pytest.mark.alone
async def test_forty_at_once_delay_nobody_else(busy: Owner, own_servers: Servers) -> None:
    long, other = new_id("ten"), new_id("ten")
    await extend_trail(own_servers.migration_url("audit"), long, 50_000)
    async with busy.pool.acquire() as conn:
        events = [heard(other, "user.created", new_id("usr")) for _ in range(200)]
        await process_once(conn, handle_events, events)

    async def list_others() -> None:
        assert (await busy.call(calls.LIST_EVENTS, other)).status == 200

    quiet = await p95(list_others, lambda: True)
    for call, query in ((calls.GET_PROOF, {}), (calls.EXPORT_EVENTS, {"format": "ndjson"})):
        forty = [asyncio.create_task(busy.call(call, long, query=query)) for _ in range(40)]
        busily = await p95(list_others, lambda: all(each.done() for each in forty))  # noqa: B023
        assert [each.result().status for each in forty] == [200] * 40
        assert busily < max(3 * quiet, 0.05), f"{call.name}: {busily} s, quiet {quiet} s"


async def test_a_proof_of_a_million_events_answers(busy: Owner, own_servers: Servers) -> None:
    tenant = new_id("ten")
    await extend_trail(own_servers.migration_url("audit"), tenant, MILLION, indexed=False)
    found = await prove(busy, tenant)
    assert [each["valid"] for each in found] == [True] * len(found)
    assert (found[-1]["length"], found[-1]["next_after"]) == (MILLION, None)
    conn = await asyncpg.connect(own_servers.migration_url("audit"))
    await conn.execute(
        "UPDATE events SET action = 'user.created' WHERE tenant_id = $1 AND sequence = 777777",
        tenant,
    )
    await conn.close()
    last = (await prove(busy, tenant, after=700_000))[-1]
    assert (last["valid"], last["first_broken"]) == (False, 777_777)
