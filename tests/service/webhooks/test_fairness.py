"""Fairness: a slow receiver delays no other, a busy tenant no other, and nothing is left behind."""

import pytest
from contracts import webhooks as calls
from contracts.ids import new_id
from service.webhooks.client import WebhooksClient
from service.webhooks.receivers import hold_responses, wait_for_requests
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.queue.ready import WEBHOOKS_AT_ONCE
from webhooks.rules.fairness import RETRY
from webhooks.rules.window import WEBHOOK_LIMIT, WIDEST
from webhooks.worker import dispatcher as dispatcher_module
from webhooks.worker.dispatcher import MOST_OF_TENANT, Dispatcher


async def test_a_slow_receiver_delays_no_other(
    client: WebhooksClient,
    tenant: str,
    receiver: Receiver,
    other_receiver: Receiver,
    dispatcher: Dispatcher,
) -> None:
    release = hold_responses(receiver)
    await client.create_webhook(tenant, receiver.url)
    fast = await client.create_webhook(tenant, other_receiver.url)
    await client.publish(tenant, count=50)
    dispatcher.wake()
    await client.wait_until_delivered(tenant, fast["id"], 50)
    assert len(receiver.received) == WEBHOOK_LIMIT
    release.set()


async def test_a_receiver_that_was_quick_and_hangs_delays_no_other(
    client: WebhooksClient,
    tenant: str,
    receiver: Receiver,
    other_receiver: Receiver,
    dispatcher: Dispatcher,
) -> None:
    hanging = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant, count=WIDEST)
    dispatcher.wake()
    await client.wait_until_delivered(tenant, hanging["id"], WIDEST)
    release = hold_responses(receiver)
    await client.publish(tenant, count=50)
    dispatcher.wake()
    await wait_for_requests(receiver, WIDEST + WEBHOOK_LIMIT + 1)
    others = [await client.create_webhook(tenant, other_receiver.url) for _ in range(6)]
    await client.publish(tenant, count=50)
    dispatcher.wake()
    for each in others:
        await client.wait_until_delivered(tenant, each["id"], 50)
    assert len(receiver.received) - WIDEST <= WIDEST
    release.set()


async def test_a_busy_tenant_delays_no_other(
    client: WebhooksClient,
    tenant: str,
    receiver: Receiver,
    other_receiver: Receiver,
    dispatcher: Dispatcher,
) -> None:
    release = hold_responses(receiver)
    for _ in range(MOST_OF_TENANT // WEBHOOK_LIMIT + 4):
        await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant, count=100)
    dispatcher.wake()
    await wait_for_requests(receiver, MOST_OF_TENANT)
    neighbour = new_id("ten")
    theirs = await client.create_webhook(neighbour, other_receiver.url)
    await client.publish(neighbour)
    dispatcher.wake()
    delivery = await client.wait_for_attempts(neighbour, theirs["id"])
    assert delivery["status"] == "succeeded"
    assert len(receiver.received) == MOST_OF_TENANT
    release.set()


async def test_many_retries_leave_capacity_for_first_attempts(
    client: WebhooksClient,
    tenant: str,
    receiver: Receiver,
    other_receiver: Receiver,
    dispatcher: Dispatcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher_module, "PROCESS_LIMIT", 0)
    monkeypatch.setattr(dispatcher_module, "RETRY_LIMIT", 9)
    release = hold_responses(receiver, 500)
    for _ in range(4):
        await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant, count=8)
    await client.pool.execute(
        "UPDATE queue SET kind = $2, tries = 1 WHERE tenant_id = $1", tenant, RETRY
    )
    monkeypatch.setattr(dispatcher_module, "PROCESS_LIMIT", 12)
    dispatcher.wake()
    await wait_for_requests(receiver, 9)
    neighbour = new_id("ten")
    theirs = await client.create_webhook(neighbour, other_receiver.url)
    await client.publish(neighbour, count=5)
    dispatcher.wake()
    await client.wait_until_delivered(neighbour, theirs["id"], 5)
    assert len(receiver.received) == 9
    release.set()


async def test_deliveries_of_a_webhook_are_roughly_in_order(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    release = hold_responses(receiver)
    await client.create_webhook(tenant, receiver.url)
    published = await client.publish(tenant, count=40)
    dispatcher.wake()
    await wait_for_requests(receiver, WEBHOOK_LIMIT)
    # Those in flight at the same time may overtake each other; no others may.
    sent = {each.headers["webhook-id"] for each in receiver.received}
    assert sent == set(published[:WEBHOOK_LIMIT])
    release.set()


async def test_every_webhook_of_a_tenant_with_many_has_its_turn(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhooks = WEBHOOKS_AT_ONCE * 2 + 5
    for _ in range(webhooks):
        await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant, count=10)
    dispatcher.wake()
    await wait_for_requests(receiver, webhooks * 10, 15)


async def test_many_failing_receivers_delay_no_other(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    failing = WEBHOOKS_AT_ONCE + 4
    for _ in range(failing):
        await client.create_webhook(tenant, "http://127.0.0.1:1/in", "user.created")
    await client.publish(tenant, count=30)
    dispatcher.wake()

    async def all_circuits_are_open() -> bool:
        tried = await client.pool.fetch(
            "SELECT count(*) FILTER (WHERE tries > 0) AS n FROM queue WHERE tenant_id = $1"
            " GROUP BY webhook_id",
            tenant,
        )
        return len(tried) == failing and all(row["n"] >= 10 for row in tried)

    await until(all_circuits_are_open)
    working = await client.create_webhook(tenant, receiver.url, "member.added")
    await client.publish(tenant, "member.added")
    dispatcher.wake()
    delivery = await client.wait_for_attempts(tenant, working["id"])
    assert delivery["status"] == "succeeded"


async def test_a_failing_receiver_gets_a_pause_and_its_deliveries_lose_no_attempt(
    client: WebhooksClient,
    tenant: str,
    receiver: Receiver,
    other_receiver: Receiver,
    dispatcher: Dispatcher,
) -> None:
    receiver.status = 500
    failing = await client.create_webhook(tenant, receiver.url, "user.created", "webhook.*")
    await client.publish(tenant, count=100)
    dispatcher.wake()

    async def is_paused() -> bool:
        rows = await client.pool.fetch("SELECT state FROM queue WHERE tenant_id = $1", tenant)
        return len(receiver.received) >= 10 and all(row["state"] != "leased" for row in rows)

    await until(is_paused)
    sent = len(receiver.received)
    assert sent < 40
    # However many others are sent meanwhile.
    working = await client.create_webhook(tenant, other_receiver.url, "member.added")
    for batch in range(1, 6):
        await client.publish(tenant, "member.added", count=10)
        dispatcher.wake()
        await client.wait_until_delivered(tenant, working["id"], batch * 10)
    assert len(other_receiver.received) == 50
    assert len(receiver.received) == sent
    untried = await client.pool.fetchval(
        "SELECT count(*) FROM queue WHERE tenant_id = $1 AND tries = 0", tenant
    )
    assert untried == 100 - sent
    receiver.status = 204
    # A manual delivery does not wait, and its success ends the pause.
    tested = await client.call(calls.SEND_TEST, tenant, {}, failing["id"])
    assert tested.status == 202
    dispatcher.wake()
    await client.wait_until_delivered(tenant, failing["id"], 100 - sent)
