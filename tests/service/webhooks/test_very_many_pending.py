"""However many deliveries wait for a webhook: deleting it answers in time, and they go in steps."""

import asyncio
from typing import Any

from contracts import webhooks as calls
from contracts.ids import new_id
from outbox.cascade import BATCH, Cascades
from service.webhooks.client import WebhooksClient
from webhooks.queue import pending

MANY = 20_000
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
    await Cascades(client.pool, {pending.DELETED_WEBHOOK: pending.delete_more}, lambda: None).run()
    left = [await count(client, table, tenant) for table in ("queue", "deliveries", "cascades")]
    assert left == [0, 0, 0]
