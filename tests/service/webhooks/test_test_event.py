"""Test events: sent at once, to one webhook alone, and signed as real ones."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from contracts import webhooks as calls
from contracts.catalogue import EVENT_TYPES
from service.webhooks.client import WebhooksClient
from standardwebhooks.webhooks import Webhook
from support.webhook_receiver import Receiver
from webhooks.worker.dispatcher import Dispatcher

URL = "https://hooks.example.com/in"


@pytest.mark.parametrize("event_type", ["webhook.test", *EVENT_TYPES])
async def test_a_test_event_is_sent_at_once_to_this_webhook_alone(
    client: WebhooksClient,
    tenant: str,
    receiver: Receiver,
    other_receiver: Receiver,
    dispatcher: Dispatcher,
    event_type: str,
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url, "signing_key.revoked")
    other = await client.create_webhook(tenant, other_receiver.url, "*")
    body = {} if event_type == "webhook.test" else {"event_type": event_type}
    tested = await client.call(calls.SEND_TEST, tenant, body, webhook["id"])
    assert (tested.status, tested.body["status"], tested.body["attempts"]) == (202, "pending", [])
    assert tested.body["event_type"] == event_type
    dispatcher.wake()
    delivery = await client.wait_for_attempts(tenant, webhook["id"])
    assert (delivery["id"], delivery["status"]) == (tested.body["id"], "succeeded")
    (request,) = receiver.received
    sent = Webhook(webhook["secret"]).verify(request.body, request.headers)
    assert (sent["type"], sent["tenantid"]) == (event_type, tenant)
    assert sent["id"] == tested.body["event_id"]
    if event_type in EVENT_TYPES:
        EVENT_TYPES[event_type].model_validate_json(orjson.dumps(sent["data"]))
    assert other_receiver.received == []
    an_hour_ago = {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    replayed = await client.call(calls.REPLAY, tenant, an_hour_ago, other["id"])
    assert replayed.body == {"queued": 0, "queued_exact": True}


async def test_a_test_event_of_an_unknown_type_is_refused(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    body = {"event_type": "user.exploded"}
    refused = await client.call(calls.SEND_TEST, tenant, body, webhook["id"])
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "event_type")
