"""Replay: every event of a period that did not succeed is sent again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from contracts import webhooks as calls
from service.webhooks.client import WebhooksClient, make_event, received
from service.webhooks.receivers import wait_for_requests
from support.owner import Answer
from support.webhook_receiver import Receiver
from webhooks.worker.dispatcher import Dispatcher

URL = "https://hooks.example.com/in"


async def replay(client: WebhooksClient, tenant: str, webhook: str, **body: Any) -> Answer:
    """`since` is an hour ago unless the test says otherwise."""
    body.setdefault("since", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    return await client.call(calls.REPLAY, tenant, body, webhook)


async def test_a_replay_queues_what_did_not_succeed(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url, "user.*")
    (arrived,) = await client.publish(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"])
    await client.update_webhook(tenant, webhook["id"], status="disabled")
    missed = await client.publish(tenant, count=3)
    await client.publish(tenant, "member.added")
    await client.update_webhook(tenant, webhook["id"], status="active")
    nothing = await replay(client, tenant, webhook["id"], events=["user.deleted"])
    assert (nothing.status, nothing.body) == (202, {"queued": 0, "queued_exact": True})
    queued = await replay(client, tenant, webhook["id"])
    assert (queued.status, queued.body) == (202, {"queued": 3, "queued_exact": True})
    dispatcher.wake()
    await wait_for_requests(receiver, 4)
    sent = [each.headers["webhook-id"] for each in receiver.received]
    assert (sent[0], sorted(sent[1:])) == (arrived, sorted(missed))


async def test_a_replay_queues_only_the_events_of_its_period(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    await client.update_webhook(tenant, webhook["id"], status="disabled")
    now = datetime.now(UTC)

    def days_ago(days: float) -> str:
        return (now - timedelta(days=days)).isoformat()

    for days in (31, 29, 5, 3, 1):
        event = make_event(tenant)
        older = event.event | {"time": days_ago(days)}
        await client.handle(received(event.subject, orjson.dumps(older)))
    await client.update_webhook(tenant, webhook["id"], status="active")

    async def queued(**period: str) -> int:
        return int((await replay(client, tenant, webhook["id"], **period)).body["queued"])

    assert await queued(since=days_ago(4), until=days_ago(2)) == 1
    assert await queued(since=days_ago(5), until=days_ago(3)) == 2  # both ends belong to it
    assert await queued(since=days_ago(2)) == 1
    assert await queued(since=days_ago(365)) == 4


async def test_a_replay_of_an_impossible_period_is_refused(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    earlier = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    future = await replay(client, tenant, webhook["id"], since=later)
    assert (future.status, future.body["errors"][0]["field"]) == (422, "since")
    backwards = await replay(client, tenant, webhook["id"], until=earlier)
    assert (backwards.status, backwards.body["errors"][0]["field"]) == (422, "until")
    ancient = await replay(client, tenant, webhook["id"], since="0001-01-01T00:00:00Z")
    assert ancient.status == 202
