"""Deliveries that are leased as they are queued go out without being claimed, within all limits."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from asyncpg import Connection
from contracts.ids import new_id
from outbox.inbox import ReceivedEvent, process_once
from service.webhooks.client import WebhooksClient, make_event
from service.webhooks.receivers import hold_responses, wait_for_requests
from support.webhook_receiver import Receiver
from webhooks.rules.window import WEBHOOK_LIMIT
from webhooks.subscribers import direct, handle_events
from webhooks.worker.dispatcher import DIRECT_TENANT_LIMIT, Dispatcher
from webhooks.worker.http_client import HttpClient


@pytest.fixture
async def sender(client: WebhooksClient) -> AsyncIterator[Dispatcher]:
    """Sends what it is given: it does not run, so it claims nothing."""
    owner, http = client.owner, HttpClient(allow_private=True)
    sender = Dispatcher(owner.pool, owner.keyring, http, allow_private=True)
    direct.connect(sender)
    yield sender
    direct.connect(None)
    http.close()


async def states(client: WebhooksClient, tenant: str) -> list[str]:
    """Of the tenant's rows of the queue, in the order of their events."""
    rows = await client.pool.fetch(
        "SELECT state FROM queue WHERE tenant_id = $1 ORDER BY event_id", tenant
    )
    return [row["state"] for row in rows]


@pytest.mark.usefixtures("sender")
async def test_a_new_delivery_goes_out_without_being_claimed(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    await client.create_webhook(tenant, receiver.url)
    (event,) = await client.consume(tenant)
    await wait_for_requests(receiver, 1)
    assert receiver.received[0].headers["webhook-id"] == event
    assert await states(client, tenant) == ["leased"]


@pytest.mark.usefixtures("sender")
async def test_only_a_commit_that_something_is_sent_after_does_not_wait_for_the_disk(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    modes = []

    async def handle(conn: Connection, events: Sequence[ReceivedEvent]) -> Any:
        after_commit = await handle_events(conn, events)
        modes.append(await conn.fetchval("SHOW synchronous_commit"))
        return after_commit

    async with client.pool.acquire() as conn:
        await process_once(conn, handle, [make_event(tenant)])
        await client.create_webhook(tenant, receiver.url)
        await process_once(conn, handle, [make_event(tenant)])
        modes.append(await conn.fetchval("SHOW synchronous_commit"))
    await wait_for_requests(receiver, 1)
    assert modes == ["on", "off", "on"]


async def test_its_result_is_written_like_any_other(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url)
    direct.connect(dispatcher)
    await client.consume(tenant, count=3)
    direct.connect(None)
    await client.wait_until_delivered(tenant, webhook["id"], 3)
    assert await states(client, tenant) == []
    assert len(receiver.received) == 3


@pytest.mark.usefixtures("sender")
async def test_no_more_are_in_flight_than_the_limit_of_a_webhook(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    release = hold_responses(receiver)
    await client.create_webhook(tenant, receiver.url)
    events = await client.consume(tenant, count=5)
    events += await client.consume(tenant, count=20)
    await wait_for_requests(receiver, WEBHOOK_LIMIT)
    await client.consume(tenant, count=5)
    sent = {each.headers["webhook-id"] for each in receiver.received}
    assert sent == set(events[:WEBHOOK_LIMIT]), "the oldest"
    assert await states(client, tenant) == ["leased"] * WEBHOOK_LIMIT + ["ready"] * 22
    release.set()


@pytest.mark.usefixtures("sender")
async def test_none_overtakes_what_is_ready(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    await client.pool.execute(
        "UPDATE queue SET state = 'ready', lease = NULL, wake_at = NULL WHERE tenant_id = $1",
        tenant,
    )
    await client.consume(tenant)
    assert await states(client, tenant) == ["ready", "ready"]


@pytest.mark.usefixtures("sender")
async def test_the_limit_of_a_tenant_holds_and_others_have_theirs(
    client: WebhooksClient, tenant: str, receiver: Receiver, other_receiver: Receiver
) -> None:
    release = hold_responses(receiver)
    for _ in range(6):
        await client.create_webhook(tenant, receiver.url)
    await client.consume(tenant, count=8)
    neighbour = new_id("ten")
    await client.create_webhook(neighbour, other_receiver.url)
    await client.consume(neighbour)
    await wait_for_requests(other_receiver, 1)
    assert (await states(client, tenant)).count("leased") == DIRECT_TENANT_LIMIT
    release.set()


@pytest.mark.usefixtures("sender")
async def test_a_webhook_that_fails_waits_for_its_circuit_breaker(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    await client.create_webhook(tenant, receiver.url)
    await client.pool.execute(
        "UPDATE webhooks SET failing_since = now() WHERE tenant_id = $1", tenant
    )
    await client.consume(tenant)
    assert await states(client, tenant) == ["ready"]


@pytest.mark.usefixtures("sender")
async def test_nothing_is_sent_of_what_was_rolled_back(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    await client.create_webhook(tenant, receiver.url)
    async with client.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        started = await handle_events(conn, [make_event(tenant)])
        await transaction.rollback()
    assert started is not None, "something was leased"
    await client.consume(tenant)
    await wait_for_requests(receiver, 1)
    assert await states(client, tenant) == ["leased"]
    assert len(receiver.received) == 1
