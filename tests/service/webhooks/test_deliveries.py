"""Deliveries of a webhook: listed with their attempts, and one of them sent again."""

from datetime import UTC, datetime, timedelta

import orjson
from aiohttp import web
from contracts import webhooks as calls
from contracts.ids import new_id
from service.webhooks.client import WebhooksClient
from support.webhook_receiver import Receiver
from webhooks.queue.deliveries import LIST_PENDING
from webhooks.worker.dispatcher import Dispatcher

URL = "https://hooks.example.com/in"
MANY = 20_000
MAKE_ENDED = """
INSERT INTO deliveries (tenant_id, webhook_id, id, created_at, event_id, event_type, status,
                        attempt_count, completed_at)
SELECT tenant_id, webhook_id, id || n, created_at, event_id, event_type, 'succeeded', 1, now()
  FROM (SELECT * FROM deliveries WHERE tenant_id = $1 LIMIT 1) one, generate_series(1, $2) n
"""


async def test_the_list_pages_and_filters_by_time(client: WebhooksClient, tenant: str) -> None:
    webhook = (await client.create_webhook(tenant, URL))["id"]
    await client.publish(tenant, count=5)
    first = await client.call(calls.LIST_DELIVERIES, tenant, None, webhook, query={"limit": 3})
    assert first.body["pagination"]["total"] == 5
    cursor = first.body["pagination"]["next_cursor"]
    rest = await client.call(
        calls.LIST_DELIVERIES, tenant, None, webhook, query={"limit": 3, "cursor": cursor}
    )
    ids = [each["id"] for each in first.body["deliveries"] + rest.body["deliveries"]]
    assert len(set(ids)) == 5
    today = datetime.now(UTC).date()
    assert len(await client.list_deliveries(tenant, webhook, created_before=today)) == 5
    assert await client.list_deliveries(tenant, webhook, created_after=today + timedelta(2)) == []
    yesterday = today - timedelta(1)
    assert await client.list_deliveries(tenant, webhook, created_before=yesterday) == []


async def test_pending_deliveries_are_found_among_very_many_that_have_ended(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = (await client.create_webhook(tenant, URL))["id"]
    await client.publish(tenant, count=3)
    await client.publish(tenant, "user.deleted", count=2)
    pending = await client.list_deliveries(tenant, webhook)
    await client.pool.execute(MAKE_ENDED, tenant, MANY)
    found = await client.list_deliveries(tenant, webhook, status="pending")
    assert found == pending
    of_type = {"status": "pending", "event_type": "user.deleted"}
    assert await client.list_deliveries(tenant, webhook, **of_type) == pending[:2]
    query: dict[str, object] = {"limit": 2, "status": "pending"}
    ids: list[str] = []
    for _ in range(3):
        page = (await client.call(calls.LIST_DELIVERIES, tenant, None, webhook, query=query)).body
        ids += [each["id"] for each in page["deliveries"]]
        query["cursor"] = page["pagination"]["next_cursor"]
    assert ids == [each["id"] for each in pending]
    values = {"tenant_id": tenant, "webhook_id": webhook, "status": "pending", "limit": 51}
    statement = LIST_PENDING.rows(("status",), "-created_at", "top")
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}"
    plan = await client.pool.fetchval(explain, *statement.arguments(values))
    assert orjson.loads(plan)[0]["Plan"]["Shared Hit Blocks"] < MANY / 100


async def test_a_page_of_long_responses_still_fits_into_a_message(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(status=500, text='"' * 10_000)

    receiver.answer = respond
    for _ in range(25):
        await client.create_webhook(tenant, receiver.url)
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    delivery = await client.wait_for_attempts(tenant, webhook["id"])
    assert delivery["attempts"][0]["response_body"] == '"' * 4096
    await client.pool.execute(
        "INSERT INTO attempts (tenant_id, delivery_id, number, created_at, webhook_id, at,"
        " duration_ms, response_body) SELECT tenant_id, delivery_id, n, created_at, webhook_id,"
        " at, 1, response_body FROM attempts, generate_series(2, 300) n WHERE delivery_id = $1",
        delivery["id"],
    )
    await client.pool.execute(
        "UPDATE deliveries SET attempt_count = 300 WHERE id = $1", delivery["id"]
    )
    listed = await client.call(calls.LIST_DELIVERIES, tenant, None, webhook["id"])
    assert len(listed.reply.body) < 900_000
    attempts = listed.body["deliveries"][0]["attempts"]
    assert [attempts[0]["number"], attempts[-1]["number"]] == [201, 300]


async def test_a_delivery_is_sent_again_whatever_its_status(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    delivery = await client.wait_for_attempts(tenant, webhook["id"])
    ids = (webhook["id"], delivery["id"])
    again = await client.call(calls.RETRY_DELIVERY, tenant, None, *ids)
    assert (again.status, again.body["status"]) == (202, "pending")
    assert again.body["completed_at"] is None
    dispatcher.wake()
    delivery = await client.wait_for_attempts(tenant, webhook["id"], 2)
    assert delivery["status"] == "succeeded"
    sent = [request.headers["webhook-id"] for request in receiver.received]
    assert sent == [delivery["event_id"]] * 2
    missing = await client.call(calls.RETRY_DELIVERY, tenant, None, webhook["id"], new_id("dlv"))
    assert missing.status == 404
    await client.update_webhook(tenant, webhook["id"], status="disabled")
    disabled = await client.call(calls.RETRY_DELIVERY, tenant, None, *ids)
    assert (disabled.status, disabled.body["code"]) == (409, "webhook_disabled")


async def test_a_waiting_retry_can_be_sent_now(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.status = 500
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    failed = await client.wait_for_attempts(tenant, webhook["id"])
    receiver.status = 204
    await client.call(calls.RETRY_DELIVERY, tenant, None, webhook["id"], failed["id"])
    dispatcher.wake()
    delivery = await client.wait_for_attempts(tenant, webhook["id"], 2)
    assert delivery["status"] == "succeeded"
