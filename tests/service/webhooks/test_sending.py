"""Sending: signed, retried by the schedule, given up in the end; and what receivers may do."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import web
from contracts import webhooks as calls
from contracts.events import Event
from service.webhooks.world import World
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.dispatch import Dispatcher


def near(text: str, seconds: float, since: datetime | None = None) -> bool:
    """Whether a time lies so many seconds ahead, give or take a tenth and a little."""
    ahead = datetime.fromisoformat(text) - (since or datetime.now(UTC))
    return abs(ahead.total_seconds() - seconds) <= seconds * 0.1 + 1


async def test_an_event_arrives_signed_as_it_was_recorded(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    made = await world.subscribe(tenant, endpoint.url)
    (event_id,) = await world.happen(tenant)
    sending.wake()
    done = await world.attempted(tenant, made["id"])
    calls.Delivery.model_validate(done)
    (got,) = endpoint.received
    body = Webhook(made["secret"]).verify(got.body, got.headers)
    assert Event.model_validate(body).id == event_id == got.headers["webhook-id"]
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("Tenantry-Webhooks/")
    assert "cookie" not in got.headers
    assert (done["status"], done["next_attempt_at"]) == ("succeeded", None)
    assert done["completed_at"] is not None
    (attempt,) = done["attempts"]
    assert (attempt["number"], attempt["response_status"], attempt["error"]) == (1, 204, None)
    path = {"id": made["id"], "delivery_id": done["id"]}
    found = await world.ask(calls.GET_DELIVERY, tenant, path=path)
    calls.DeliveryDetail.model_validate(found.body)
    assert found.body["payload"] == orjson.loads(got.body)


async def test_after_a_rotation_both_secrets_verify(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    made = await world.subscribe(tenant, endpoint.url)
    rotated = await world.ask(calls.ROTATE_SECRET, tenant, path={"id": made["id"]})
    await world.happen(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"])
    (got,) = endpoint.received
    assert len(got.headers["webhook-signature"].split()) == 2
    Webhook(made["secret"]).verify(got.body, got.headers)
    Webhook(rotated.body["secret"]).verify(got.body, got.headers)
    await world.owner.pool.execute(
        "UPDATE secrets SET expires_at = now() WHERE tenant_id = $1 AND expires_at IS NOT NULL",
        tenant,
    )
    await world.happen(tenant)
    sending.wake()
    await until(lambda: received(endpoint, 2))
    got = endpoint.received[1]
    Webhook(rotated.body["secret"]).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(got.body, got.headers)


async def received(endpoint: Receiver, count: int) -> bool:
    return len(endpoint.received) >= count


async def test_a_failure_is_tried_again_by_the_schedule(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    endpoint.status = 500
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    for attempts, delay in ((1, 5), (2, 300), (3, 1800)):
        failed = await world.attempted(tenant, made["id"], attempts)
        assert failed["status"] == "pending"
        assert near(failed["next_attempt_at"], delay)
        await world.make_due(tenant)
        sending.wake()
    endpoint.status = 200
    await world.attempted(tenant, made["id"], 4)
    await world.owner.pool.execute(
        "UPDATE queue SET state = 'waiting', wake_at = now() WHERE tenant_id = $1", tenant
    )
    await until(lambda: has_status(world, tenant, made["id"], "succeeded"))
    numbers = [each["number"] for each in (await world.delivery(tenant, made["id"]))["attempts"]]
    assert numbers == list(range(1, len(numbers) + 1))


async def has_status(world: World, tenant: str, webhook: str, status: str) -> bool:
    return (await world.delivery(tenant, webhook))["status"] == status


async def test_the_tenth_failure_is_the_last(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    endpoint.status = 503
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"])
    await world.owner.pool.execute(
        "UPDATE queue SET tries = 9, wake_at = now() WHERE tenant_id = $1", tenant
    )
    sending.wake()
    await until(lambda: has_status(world, tenant, made["id"], "failed"))
    failed = await world.delivery(tenant, made["id"])
    assert (failed["status"], failed["next_attempt_at"]) == ("failed", None)
    assert [each["id"] for each in await world.deliveries(tenant, made["id"], status="failed")] == [
        failed["id"]
    ]


async def test_retry_after_is_honoured(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "120"})

    endpoint.answer = busy
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    failed = await world.attempted(tenant, made["id"])
    assert near(failed["next_attempt_at"], 120)


async def test_a_redirect_is_a_failure_and_not_followed(
    world: World, tenant: str, endpoint: Receiver, another: Receiver, sending: Dispatcher
) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": another.url})

    endpoint.answer = elsewhere
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    failed = await world.attempted(tenant, made["id"])
    assert failed["status"] == "pending"
    assert failed["attempts"][0]["response_status"] == 307
    assert another.received == []


async def test_an_endless_answer_is_cut(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    cut = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"\0\xff<p>" * 1000)
        finally:
            cut.set()

    endpoint.answer = endless
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    failed = await world.attempted(tenant, made["id"])
    assert len(failed["attempts"][0]["response_body"]) == 4096
    assert failed["attempts"][0]["duration_ms"] < 5000
    await asyncio.wait_for(cut.wait(), 5)


async def test_a_closed_port_is_a_failed_attempt_that_names_no_address(
    world: World, tenant: str, sending: Dispatcher
) -> None:
    made = await world.subscribe(tenant, "http://127.0.0.1:1/in")
    await world.happen(tenant)
    sending.wake()
    failed = await world.attempted(tenant, made["id"])
    attempt = failed["attempts"][0]
    assert (attempt["response_status"], failed["status"]) == (None, "pending")
    assert "127" not in attempt["error"]
