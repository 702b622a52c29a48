"""However many deliveries wait for a webhook: deleting, disabling and enabling it, and sending
again, are answered in time, take effect at once, and end in steps.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import webhooks as calls
from contracts.ids import new_id
from outbox.cascade import BATCH, Cascades
from service.webhooks.client import WebhooksClient
from service.webhooks.receivers import wait_for_requests
from service.webhooks.runners import run_dispatchers
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.cascade_steps import STEPS
from webhooks.queue.claim import claim
from webhooks.rules.fairness import FIRST

MANY = 50_000
IN_TIME = 1.8
"""Seconds after which the edge gives up."""


async def multiply(client: WebhooksClient, tenant: str) -> None:
    """Makes very many of the one pending delivery that there is."""
    ids = [new_id("dlv") for _ in range(MANY)]
    for table, key in (("deliveries", "id"), ("queue", "delivery_id")):
        row = dict(
            await client.pool.fetchrow(f"SELECT * FROM {table} WHERE tenant_id = $1", tenant)
        )
        async with client.pool.acquire() as conn:
            await conn.copy_records_to_table(
                table,
                columns=list(row),
                records=[tuple((row | {key: each}).values()) for each in ids],
            )


async def count(client: WebhooksClient, table: str, tenant: str) -> Any:
    return await client.pool.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant)


async def test_a_webhook_with_very_many_pending_deliveries_is_deleted(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, "https://hooks.example.com/in")
    await client.publish(tenant)
    await multiply(client, tenant)
    async with asyncio.timeout(IN_TIME):
        deleted = await client.call(calls.DELETE_WEBHOOK, tenant, None, webhook["id"])
    assert deleted.status == 204
    assert (await client.call(calls.GET_WEBHOOK, tenant, None, webhook["id"])).status == 404
    assert await count(client, "queue", tenant) == MANY + 1 - BATCH
    await Cascades(client.pool, STEPS, lambda: None).run()
    left = [await count(client, table, tenant) for table in ("queue", "deliveries", "cascades")]
    assert left == [0, 0, 0]


async def count_by_state(client: WebhooksClient, tenant: str) -> dict[str, int]:
    rows = await client.pool.fetch(
        "SELECT state, count(*) FROM queue WHERE tenant_id = $1 GROUP BY state", tenant
    )
    return {row["state"]: row["count"] for row in rows}


async def test_a_webhook_with_very_many_pending_deliveries_is_disabled_and_enabled(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    await multiply(client, tenant)
    async with asyncio.timeout(IN_TIME):
        disabled = await client.update_webhook(tenant, webhook["id"], status="disabled")
    assert disabled.status == 200
    other = new_id("ten")
    await client.create_webhook(other, receiver.url)
    async with run_dispatchers(client.owner, 2) as dispatchers:

        async def is_parked() -> bool:
            return await count_by_state(client, tenant) == {"parked": MANY + 1}

        await until(is_parked, 60)
        (event,) = await client.publish(other)
        for each in dispatchers:
            each.wake()
        await wait_for_requests(receiver, 1)
    assert [each.headers["webhook-id"] for each in receiver.received] == [event], "nothing else"
    async with asyncio.timeout(IN_TIME):
        enabled = await client.update_webhook(tenant, webhook["id"], status="active")
    assert enabled.status == 200
    assert await count_by_state(client, tenant) == {"parked": MANY + 1 - BATCH, "waiting": BATCH}
    cascades = Cascades(client.pool, STEPS, lambda: None)
    assert await cascades.step()
    await client.update_webhook(tenant, webhook["id"], status="disabled")
    await cascades.run()
    assert (await count_by_state(client, tenant))["parked"] == MANY + 1 - 2 * BATCH
    await client.update_webhook(tenant, webhook["id"], status="active")
    await cascades.run()
    assert await count_by_state(client, tenant) == {"waiting": MANY + 1}
    assert await count(client, "cascades", tenant) == 0


async def test_nothing_is_claimed_of_a_webhook_that_was_disabled_since_it_was_found(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, "https://hooks.example.com/in")
    await client.publish(tenant)
    shares = Counter({(tenant, webhook["id"], FIRST): 1})
    await client.update_webhook(tenant, webhook["id"], status="disabled")
    async with client.pool.acquire() as conn:
        assert await claim(conn, shares) == []
        await client.update_webhook(tenant, webhook["id"], status="active")
        assert len(await claim(conn, shares)) == 1


async def insert_events(client: WebhooksClient, tenant: str, count: int) -> None:
    """Makes very many of the one event that there is."""
    row = dict(await client.pool.fetchrow("SELECT * FROM events WHERE tenant_id = $1", tenant))
    async with client.pool.acquire() as conn:
        await conn.copy_records_to_table(
            "events",
            columns=list(row),
            records=[tuple((row | {"id": new_id("evt")}).values()) for _ in range(count)],
        )


async def test_very_many_events_are_sent_again(client: WebhooksClient, tenant: str) -> None:
    webhook = await client.create_webhook(tenant, "https://hooks.example.com/in")
    await client.publish(tenant)
    await insert_events(client, tenant, MANY)
    body = {"since": (datetime.now(UTC) - timedelta(days=1)).isoformat(), "events": ["user.*"]}
    async with asyncio.timeout(IN_TIME):
        nothing = await client.call(
            calls.REPLAY, tenant, body | {"events": ["member.added"]}, webhook["id"]
        )
        assert nothing.body == {"queued": 0, "queued_exact": False}
    async with asyncio.timeout(IN_TIME):
        replayed = await client.call(calls.REPLAY, tenant, body, webhook["id"])
    assert (replayed.status, replayed.body) == (202, {"queued": 20_000, "queued_exact": False})
    assert await count(client, "queue", tenant) == BATCH
    cascades = Cascades(client.pool, STEPS, lambda: None)
    assert await cascades.step()
    async with asyncio.timeout(30):
        await cascades.run()
    for table in ("queue", "deliveries"):
        assert await count(client, table, tenant) == MANY + 1
    assert await count(client, "cascades", tenant) == 0


async def test_what_is_sent_again_in_steps_is_counted(client: WebhooksClient, tenant: str) -> None:
    webhook = await client.create_webhook(tenant, "https://hooks.example.com/in", "member.*")
    await client.publish(tenant)
    await insert_events(client, tenant, 1_000)
    await client.publish(tenant, "member.added", count=2)
    body = {"since": (datetime.now(UTC) - timedelta(days=365)).isoformat()}
    replayed = await client.call(calls.REPLAY, tenant, body, webhook["id"])
    assert replayed.body == {"queued": 2, "queued_exact": True}
    await client.call(calls.DELETE_WEBHOOK, tenant, None, webhook["id"])
    await Cascades(client.pool, STEPS, lambda: None).run()
    left = [await count(client, table, tenant) for table in ("queue", "cascades")]
    assert left == [0, 0], "nothing is queued for a webhook that was deleted"
