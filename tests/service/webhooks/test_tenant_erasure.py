"""The erasure of a tenant: nothing is left of it, and nothing comes back."""

import orjson
from contracts import webhooks as calls
from contracts.context import Context
from contracts.ids import new_id
from contracts.lifecycle import TenantDeletionRequested
from outbox import dead_letters
from outbox.inbox import ReceivedEvent
from outbox.record import create_message
from service.webhooks.client import WebhooksClient, make_event, received
from support.owner import TRACE
from support.webhook_receiver import Receiver
from webhooks.tenant_erasure import erase_tenants
from webhooks.worker.dispatcher import Dispatcher

TABLES = (
    "webhooks", "secrets", "events", "deliveries", "delivery_counts", "attempts", "outcomes",
    "queue", "idempotency",
)  # fmt: skip
CONFIRMATIONS = """
SELECT subject, payload FROM outbox WHERE tenant_id = $1 AND subject LIKE '%erased'
"""


def deletion_requested(tenant: str) -> ReceivedEvent:
    context = Context(tenant_id=tenant, request_id="req_erase", traceparent=TRACE)
    entry = create_message(context, TenantDeletionRequested(), "projects", tenant)
    return received(entry.subject, entry.payload)


async def erase(client: WebhooksClient) -> None:
    await erase_tenants(client.pool, lambda: None)


async def test_an_erased_tenant_leaves_nothing_and_stays_erased(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    body = {"url": receiver.url, "events": ["*"]}
    created = await client.call(calls.CREATE_WEBHOOK, tenant, body, idempotency_key="once")
    await client.publish(tenant, count=3)
    dispatcher.wake()

    neighbour = new_id("ten")
    theirs = await client.create_webhook(neighbour, receiver.url)
    await client.publish(neighbour)
    failed = [make_event(each) for each in (tenant, neighbour)]
    async with client.pool.acquire() as conn:
        for each in failed:
            await dead_letters.add(conn, each, ValueError(), 5)
    # In one batch with an event that must not reach the tenant any more.
    request = deletion_requested(tenant)
    await client.handle(request, make_event(tenant))
    await erase(client)
    await client.publish(tenant)
    for table in TABLES:
        left = await client.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant
        )
        assert left == 0, table
    rows = await client.pool.fetch("DELETE FROM dead_letters RETURNING event_id")
    assert [row["event_id"] for row in rows] == [failed[1].id]
    gone = await client.call(calls.GET_WEBHOOK, tenant, None, created.body["id"])
    assert gone.status == 404
    assert len(await client.list_deliveries(neighbour, theirs["id"])) == 1
    (confirmation,) = await client.pool.fetch(CONFIRMATIONS, tenant)
    assert confirmation["subject"] == "tenantry.lifecycle.webhooks.tenant.erased"
    assert orjson.loads(confirmation["payload"])["requestid"] == "req_erase"
    await client.handle(request)
    await erase(client)
    assert len(await client.pool.fetch(CONFIRMATIONS, tenant)) == 1
