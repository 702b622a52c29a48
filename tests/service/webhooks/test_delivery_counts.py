"""Totals of deliveries are exact, though nobody counts the rows."""

from datetime import UTC, datetime, timedelta
from itertools import product

import asyncpg
from contracts import webhooks as calls
from service.webhooks.client import WebhooksClient
from support.waiting import until
from support.webhook_receiver import Receiver
from tenantry.servers import Servers
from webhooks.retention import apply_retention
from webhooks.worker.dispatcher import Dispatcher

URL = "https://hooks.example.com/in"
MAKE_OLDER = """
WITH numbered AS (
  SELECT *, row_number() OVER (ORDER BY md5(id)) AS n FROM deliveries WHERE tenant_id = $1
), gone AS (DELETE FROM deliveries WHERE tenant_id = $1
), ended AS (DELETE FROM queue USING numbered
  WHERE queue.tenant_id = $1 AND delivery_id = numbered.id AND n % 3 > 0
), waiting AS (UPDATE queue
  SET delivery_id = numbered.id || n, created_at = numbered.created_at - n * $2::text::interval
  FROM numbered WHERE queue.tenant_id = $1 AND delivery_id = numbered.id AND n % 3 = 0)
INSERT INTO deliveries (tenant_id, webhook_id, id, created_at, event_id, event_type, status,
                        attempt_count)
SELECT tenant_id, webhook_id, id || n, created_at - n * $2::text::interval, event_id, event_type,
       (ARRAY['pending', 'failed', 'succeeded'])[1 + n % 3], attempt_count FROM numbered
"""
"""Each delivery by so much more, with a status in turns."""


async def total(client: WebhooksClient, tenant: str, webhook: str, **query: object) -> int:
    """The total of a page that does not show all: it cannot be told from the rows."""
    query = {"limit": 1, **query}
    listed = await client.call(calls.LIST_DELIVERIES, tenant, None, webhook, query=query)
    assert listed.status == 200, listed.body
    assert listed.body["pagination"]["total_exact"] is True
    return int(listed.body["pagination"]["total"])


async def test_deliveries_are_counted_as_they_come_end_and_are_sent_again(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook = (await client.create_webhook(tenant, receiver.url))["id"]

    async def succeeded(count: int) -> bool:
        return await total(client, tenant, webhook, status="succeeded") == count

    await client.publish(tenant, count=4)
    await client.publish(tenant, "user.deleted", count=3)
    assert await total(client, tenant, webhook, status="pending") == 7
    dispatcher.wake()
    await until(lambda: succeeded(7))
    assert await total(client, tenant, webhook, event_type="user.deleted") == 3
    await client.pool.execute(
        "UPDATE deliveries SET status = 'failed' WHERE id = (SELECT min(id) FROM deliveries"
        " WHERE tenant_id = $1)",
        tenant,
    )
    assert await succeeded(6)
    await client.call(calls.REPLAY, tenant, {"since": "2020-01-01T00:00:00Z"}, webhook)
    dispatcher.wake()
    await until(lambda: succeeded(7))
    assert await total(client, tenant, webhook) == 7
    assert await total(client, tenant, webhook, status="failed") == 0


async def test_every_filter_has_the_total_that_its_pages_have(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = (await client.create_webhook(tenant, URL))["id"]
    await client.publish(tenant, count=40)
    await client.publish(tenant, "user.deleted", count=20)
    await client.pool.execute(MAKE_OLDER, tenant, "3 hours")
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    times = [None, day.date(), (day - timedelta(3)).date(), day - timedelta(2.4), day]
    for status, event_type, after, before in product(
        (None, "pending", "failed"), (None, "user.created", "user.*"), times, times
    ):
        query = {
            "status": status,
            "event_type": event_type,
            "created_after": after and after.isoformat(),
            "created_before": before and before.isoformat(),
        }
        given = {name: value for name, value in query.items() if value is not None}
        rows = await client.list_deliveries(tenant, webhook, **given)
        if rows:
            assert await total(client, tenant, webhook, **given) == len(rows), given


async def test_counts_go_with_the_deliveries(
    client: WebhooksClient, tenant: str, servers: Servers
) -> None:
    webhook = (await client.create_webhook(tenant, URL))["id"]
    await client.publish(tenant)
    owner = await asyncpg.connect(servers.migration_url("webhooks"))
    await owner.execute(
        "CREATE TABLE partitions.deliveries_20200106 PARTITION OF deliveries"
        " FOR VALUES FROM ('2020-01-06+00') TO ('2020-01-13+00')"
    )
    await owner.close()
    await client.pool.execute(
        MAKE_OLDER, tenant, str(datetime.now(UTC) - datetime(2020, 1, 7, tzinfo=UTC))
    )
    await client.publish(tenant, count=2)
    assert await total(client, tenant, webhook) == 3
    await apply_retention(client.pool)
    assert await total(client, tenant, webhook) == 2
    await client.call(calls.DELETE_WEBHOOK, tenant, None, webhook)
    counted = "SELECT sum(count) FROM delivery_counts WHERE tenant_id = $1"
    assert await client.pool.fetchval(counted, tenant) == 0
