"""Fan-out: which webhooks get a delivery of an event."""

import orjson
from contracts.context import Context
from contracts.ids import is_id, new_id
from contracts.lifecycle import ApiKeyRefused
from outbox.record import create_message
from service.webhooks.client import WebhooksClient, make_event, received
from support.owner import TRACE

URL = "https://hooks.example.com/in"


async def test_a_webhook_gets_only_the_events_that_it_wants(
    client: WebhooksClient, tenant: str
) -> None:
    actor = new_id("key")
    exact = await client.create_webhook(tenant, URL, "user.created")
    family = await client.create_webhook(tenant, URL, "member.*", "user.*")
    everything = await client.create_webhook(tenant, URL, "*")
    other = await client.create_webhook(tenant, URL, "organization.*")
    ignoring = await client.create_webhook(tenant, URL, "*", ignore_actor_ids=[actor])
    await client.publish(tenant, "user.created")
    await client.publish(tenant, "user.updated", actor=actor)
    for webhook, count in ((exact, 1), (family, 2), (everything, 2), (other, 0), (ignoring, 1)):
        assert len(await client.list_deliveries(tenant, webhook["id"])) == count
    updated = await client.list_deliveries(tenant, family["id"], event_type="user.updated")
    assert [each["event_type"] for each in updated] == ["user.updated"]


async def test_an_event_that_comes_twice_is_delivered_once(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    event = make_event(tenant)
    await client.handle(event)
    await client.handle(event)
    delivery = await client.only_delivery(tenant, webhook["id"])
    assert is_id("dlv", delivery["id"])
    assert delivery["event_id"] == event.id


async def test_an_event_older_than_the_retention_is_ignored(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    event = make_event(tenant)
    old = event.event | {"time": "2020-01-01T00:00:00Z"}
    await client.handle(received(event.subject, orjson.dumps(old)))
    assert await client.list_deliveries(tenant, webhook["id"]) == []


async def test_a_message_between_services_reaches_no_webhook(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    context = Context(tenant_id=tenant, request_id="req", traceparent=TRACE)
    key = new_id("key")
    refused = ApiKeyRefused(resource_id=key, code="insufficient_scope")
    entry = create_message(context, refused, "projects", tenant, key)
    await client.handle(received(entry.subject, entry.payload))
    assert await client.list_deliveries(tenant, webhook["id"]) == []
