"""Attempts: signed, repeated by the retry policy, at most ten; and what receivers may do."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import web
from contracts import webhooks as calls
from contracts.events import Event
from service.webhooks.client import WebhooksClient
from service.webhooks.receivers import wait_for_requests
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.worker.dispatcher import Dispatcher


def is_in(text: str, seconds: float) -> bool:
    """Whether a time is so many seconds ahead, give or take a tenth and a second."""
    ahead = datetime.fromisoformat(text) - datetime.now(UTC)
    return abs(ahead.total_seconds() - seconds) <= seconds * 0.1 + 1


async def wait_for_status(client: WebhooksClient, tenant: str, webhook: str, status: str) -> None:
    async def has_status() -> bool:
        return (await client.only_delivery(tenant, webhook))["status"] == status

    await until(has_status)


async def test_an_event_arrives_signed_as_it_was_recorded(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url)
    (event_id,) = await client.publish(tenant)
    dispatcher.wake()
    delivery = await client.wait_for_attempts(tenant, webhook["id"])
    calls.Delivery.model_validate(delivery)
    (request,) = receiver.received
    body = Webhook(webhook["secret"]).verify(request.body, request.headers)
    assert Event.model_validate(body).id == event_id == request.headers["webhook-id"]
    assert request.headers["user-agent"].startswith("Tenantry-Webhooks/")
    assert "cookie" not in request.headers
    assert (delivery["status"], delivery["next_attempt_at"]) == ("succeeded", None)
    assert delivery["completed_at"] is not None
    (attempt,) = delivery["attempts"]
    assert (attempt["number"], attempt["response_status"], attempt["error"]) == (1, 204, None)
    found = await client.call(calls.GET_DELIVERY, tenant, None, webhook["id"], delivery["id"])
    calls.DeliveryDetail.model_validate(found.body)
    assert found.body["payload"] == orjson.loads(request.body)


async def test_after_a_rotation_both_secrets_verify(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url)
    rotated = await client.call(calls.ROTATE_SECRET, tenant, None, webhook["id"])
    await client.publish(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"])
    (request,) = receiver.received
    assert len(request.headers["webhook-signature"].split()) == 2
    Webhook(webhook["secret"]).verify(request.body, request.headers)
    Webhook(rotated.body["secret"]).verify(request.body, request.headers)
    await client.pool.execute(
        "UPDATE secrets SET expires_at = now() WHERE tenant_id = $1 AND expires_at IS NOT NULL",
        tenant,
    )
    await client.publish(tenant)
    dispatcher.wake()
    await wait_for_requests(receiver, 2)
    request = receiver.received[1]
    Webhook(rotated.body["secret"]).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook["secret"]).verify(request.body, request.headers)


async def test_a_failed_attempt_is_repeated_by_the_retry_policy(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.status = 500
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    for attempts, delay in ((1, 5), (2, 300), (3, 1800)):
        failed = await client.wait_for_attempts(tenant, webhook["id"], attempts)
        assert failed["status"] == "pending"
        assert is_in(failed["next_attempt_at"], delay)
        await client.make_retries_due(tenant)
        dispatcher.wake()
    receiver.status = 200
    await client.wait_for_attempts(tenant, webhook["id"], 4)
    await client.pool.execute(
        "UPDATE queue SET state = 'waiting', wake_at = now() WHERE tenant_id = $1", tenant
    )
    await wait_for_status(client, tenant, webhook["id"], "succeeded")
    delivery = await client.only_delivery(tenant, webhook["id"])
    numbers = [each["number"] for each in delivery["attempts"]]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_the_tenth_attempt_is_the_last(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.status = 503
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"])
    await client.pool.execute(
        "UPDATE queue SET tries = 9, wake_at = now() WHERE tenant_id = $1", tenant
    )
    dispatcher.wake()
    await wait_for_status(client, tenant, webhook["id"], "failed")
    failed = await client.only_delivery(tenant, webhook["id"])
    assert failed["next_attempt_at"] is None
    assert await client.list_deliveries(tenant, webhook["id"], status="failed") == [failed]


async def test_retry_after_is_honoured(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "120"})

    receiver.answer = respond
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    failed = await client.wait_for_attempts(tenant, webhook["id"])
    assert is_in(failed["next_attempt_at"], 120)


async def test_a_redirect_is_a_failure_and_not_followed(
    client: WebhooksClient,
    tenant: str,
    receiver: Receiver,
    other_receiver: Receiver,
    dispatcher: Dispatcher,
) -> None:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": other_receiver.url})

    receiver.answer = respond
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    failed = await client.wait_for_attempts(tenant, webhook["id"])
    assert failed["status"] == "pending"
    assert failed["attempts"][0]["response_status"] == 307
    assert other_receiver.received == []


async def test_an_endless_response_is_cut(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    cut = asyncio.Event()

    async def respond(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"\0\xff<p>" * 1000)
        finally:
            cut.set()

    receiver.answer = respond
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    failed = await client.wait_for_attempts(tenant, webhook["id"])
    assert len(failed["attempts"][0]["response_body"]) == 4096
    assert failed["attempts"][0]["duration_ms"] < 5000
    await asyncio.wait_for(cut.wait(), 5)


async def test_a_closed_port_is_a_failed_attempt_that_names_no_address(
    client: WebhooksClient, tenant: str, dispatcher: Dispatcher
) -> None:
    webhook = await client.create_webhook(tenant, "http://127.0.0.1:1/in")
    await client.publish(tenant)
    dispatcher.wake()
    failed = await client.wait_for_attempts(tenant, webhook["id"])
    (attempt,) = failed["attempts"]
    assert (attempt["response_status"], failed["status"]) == (None, "pending")
    assert "127" not in attempt["error"]
