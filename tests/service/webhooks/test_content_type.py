"""Bodies are called what the webhook says, so that SDKs of CloudEvents read them."""

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_structured_event
from contracts import webhooks as calls
from contracts.ids import new_id
from service.webhooks.client import WebhooksClient
from service.webhooks.receivers import wait_for_requests
from standardwebhooks.webhooks import Webhook
from support.webhook_receiver import Received, Receiver
from webhooks.worker.dispatcher import Dispatcher

OF_AN_OLDER_RELEASE = """
INSERT INTO webhooks (tenant_id, id, url, events, ignore_actor_ids, status, version,
                      created_at, updated_at)
VALUES ($1, $2, $3, '{*}', '{}', 'active', 1, now(), now())
"""


async def next_request(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> Received:
    """The request that a new event makes."""
    count = len(receiver.received) + 1
    await client.publish(tenant)
    dispatcher.wake()
    await wait_for_requests(receiver, count)
    return receiver.received[-1]


async def test_the_public_sdk_of_cloudevents_reads_what_arrives(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url)
    assert webhook["content_type"] == "application/cloudevents+json"
    request = await next_request(client, tenant, receiver, dispatcher)
    event = from_http_event(HTTPMessage(request.headers, request.body))
    assert request.headers["content-type"] == to_structured_event(event).headers["content-type"]
    sent = Webhook(webhook["secret"]).verify(request.body, request.headers)
    assert (event.get_id(), event.get_type()) == (request.headers["webhook-id"], "user.created")
    assert event.get_extension("tenantid") == tenant
    assert event.get_data() == sent["data"]


async def test_a_webhook_of_an_older_release_keeps_its_type_until_it_is_changed(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook_id = new_id("whk")
    await client.pool.execute(OF_AN_OLDER_RELEASE, tenant, webhook_id, receiver.url)
    shown = await client.call(calls.ROTATE_SECRET, tenant, None, webhook_id)
    assert shown.body["content_type"] == "application/json"
    request = await next_request(client, tenant, receiver, dispatcher)
    assert request.headers["content-type"] == "application/json"
    changed = await client.update_webhook(
        tenant, webhook_id, content_type="application/cloudevents+json"
    )
    assert changed.status == 200
    request = await next_request(client, tenant, receiver, dispatcher)
    assert request.headers["content-type"] == "application/cloudevents+json"
    Webhook(shown.body["secret"]).verify(request.body, request.headers)
    event = (await client.events(tenant))[-1]
    types = {"from": "application/json", "to": "application/cloudevents+json"}
    assert event["data"]["changes"] == {"content_type": types}


@pytest.mark.parametrize("content_type", ["text/plain", "application/json\r\nX: y", None, 1])
async def test_another_type_is_refused(
    client: WebhooksClient, tenant: str, content_type: object
) -> None:
    webhook = await client.create_webhook(tenant, "https://hooks.example.com/in")
    refused = await client.update_webhook(tenant, webhook["id"], content_type=content_type)
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "content_type")
