"""Tenants with many webhooks: their deliveries are created in steps, and delay nobody else's."""

import asyncio
import time
from collections import Counter

import pytest
from contracts.ids import new_id
from outbox.inbox import process_once
from service.webhooks.client import WebhooksClient
from support.owner import heard_lifecycle
from webhooks import fanout_steps
from webhooks.fanout_steps import FanOut
from webhooks.subscribers import handle_events
from webhooks.tenant_erasure import erase_tenants

_CREATE = """
INSERT INTO webhooks (tenant_id, id, url, events, ignore_actor_ids, status, version,
                      created_at, updated_at)
VALUES ($1, $2, 'https://hooks.example.com/in', '{*}', '{}', 'active', 1, now(), now())
"""
_DELIVERIES = """
SELECT webhook_id, event_id FROM deliveries WHERE tenant_id = $1 ORDER BY webhook_id, id
"""


async def create_webhooks(client: WebhooksClient, tenant: str, count: int) -> list[str]:
    """Beyond the quota of the API, as an operator may allow it."""
    ids = sorted(new_id("whk") for _ in range(count))
    await client.pool.executemany(_CREATE, [(tenant, each) for each in ids])
    return ids


async def count_deliveries(client: WebhooksClient, tenant: str) -> int:
    count = "SELECT count(*) FROM queue WHERE tenant_id = $1"
    return int(await client.pool.fetchval(count, tenant))


async def count_waiting(client: WebhooksClient, tenant: str) -> int:
    count = "SELECT count(*) FROM fanouts WHERE tenant_id = $1"
    return int(await client.pool.fetchval(count, tenant))


@pytest.fixture
async def _nobody_waits(client: WebhooksClient) -> None:
    await client.pool.execute("DELETE FROM fanouts")


pytestmark = pytest.mark.usefixtures("_nobody_waits")


async def test_800_webhooks_and_1024_changes_delay_no_other_tenant(
    client: WebhooksClient, tenant: str
) -> None:
    await create_webhooks(client, tenant, 800)
    other, many = new_id("ten"), new_id("ten")
    await create_webhooks(client, other, 3)
    await create_webhooks(client, many, 40)
    await client.consume(tenant, count=1024)
    await client.consume(other, count=5)
    await client.consume(many, count=5)
    assert await count_deliveries(client, other) == 15, "with few webhooks at once"
    fan_out = FanOut(client.pool, lambda: None)
    for _ in range(2):
        began = time.monotonic()
        assert await fan_out.step()
        assert time.monotonic() - began < fanout_steps.STEP_SECONDS
    assert await count_deliveries(client, many) == 200, "with many by the second step"
    assert 0 < await count_deliveries(client, tenant) <= fanout_steps.MAX_DELIVERIES
    assert 0 < await fan_out.oldest_seconds() < 60

    await client.consume(other, count=1)
    async with client.pool.acquire() as conn:
        deletion = heard_lifecycle(tenant, "tenant.deletion_requested")
        await process_once(conn, handle_events, [deletion])
    await asyncio.wait_for(erase_tenants(client.pool, lambda: None), 20)
    assert await count_waiting(client, tenant) == 0
    assert await count_deliveries(client, tenant) == 0
    assert not await fan_out.step(), "nothing is left to do"


async def test_each_webhook_gets_each_event_once_in_order_whatever_the_steps(
    client: WebhooksClient, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhooks = await create_webhooks(client, tenant, 23)
    monkeypatch.setattr(fanout_steps, "MAX_DELIVERIES", 7)
    events = await client.consume(tenant, count=12)
    assert await count_deliveries(client, tenant) == 0
    queued: list[str] = []
    while await FanOut(client.pool, lambda: None).step():
        rows = await client.pool.fetch(_DELIVERIES, tenant)
        assert len(rows) - len(queued) <= 7
        queued = [row["event_id"] for row in rows]
        seen = Counter(row["webhook_id"] for row in rows)
        assert max(seen.values(), default=0) - min(seen.values(), default=0) <= 1, "event by event"
    rows = await client.pool.fetch(_DELIVERIES, tenant)
    found = [(row["webhook_id"], row["event_id"]) for row in rows]
    assert found == [(webhook, event) for webhook in webhooks for event in events]
    assert await count_waiting(client, tenant) == 0


async def test_an_event_behind_one_that_waits_waits_too(
    client: WebhooksClient, tenant: str
) -> None:
    webhooks = await create_webhooks(client, tenant, 20)
    events = await client.consume(tenant, count=2)
    await client.pool.execute(
        "DELETE FROM webhooks WHERE tenant_id = $1 AND id = ANY($2)", tenant, webhooks[5:]
    )
    events += await client.consume(tenant, count=2)
    assert await count_deliveries(client, tenant) == 0
    fan_out = FanOut(client.pool, lambda: None)
    while await fan_out.step():
        pass
    rows = await client.pool.fetch(_DELIVERIES, tenant)
    assert [row["event_id"] for row in rows] == events * 5
    await client.consume(tenant, count=1)
    assert await count_deliveries(client, tenant) == 25, "and afterwards not"


async def test_a_step_that_takes_too_long_is_made_smaller_and_costs_its_tenant_the_turn(
    client: WebhooksClient, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_steps, "STEP_SECONDS", 0.5)
    other = new_id("ten")
    (locked, *_) = await create_webhooks(client, tenant, 20)
    await create_webhooks(client, other, 20)
    await client.consume(tenant, count=3)
    await client.consume(other, count=3)
    fan_out = FanOut(client.pool, lambda: None)
    async with client.pool.acquire() as conn, conn.transaction():
        await conn.execute(
            "SELECT 1 FROM webhooks WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant, locked
        )
        with pytest.raises(TimeoutError):
            await fan_out.step()
        assert await fan_out.step()
        assert await count_deliveries(client, other) == 60
    while await fan_out.step():
        pass
    assert await count_deliveries(client, tenant) == 60
