"""Deliveries: listed, looked at, sent again, replayed; and test deliveries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from contracts import webhooks as calls
from contracts.catalogue import EVENT_TYPES
from contracts.ids import is_id, new_id
from service.webhooks.world import World, heard, heard_as
from standardwebhooks.webhooks import Webhook
from support.owner import Answer
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.dispatch import Dispatcher

URL = "https://hooks.example.com/in"


async def replay(world: World, tenant: str, webhook: str, **body: Any) -> Answer:
    body.setdefault("since", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    return await world.ask(calls.REPLAY, tenant, body, path={"id": webhook})


async def test_only_what_a_webhook_wants_is_delivered(world: World, tenant: str) -> None:
    exact = await world.subscribe(tenant, URL, "user.created")
    family = await world.subscribe(tenant, URL, "member.*", "user.*")
    everything = await world.subscribe(tenant, URL, "*")
    other = await world.subscribe(tenant, URL, "organization.*")
    actor = new_id("key")
    deaf = await world.subscribe(tenant, URL, "*", ignore_actor_ids=[actor])
    await world.happen(tenant, "user.created")
    await world.happen(tenant, "user.updated", actor=actor)
    wanted = {exact["id"]: 1, family["id"]: 2, everything["id"]: 2, other["id"]: 0, deaf["id"]: 1}
    for webhook_id, count in wanted.items():
        assert len(await world.deliveries(tenant, webhook_id)) == count
    filtered = await world.deliveries(tenant, family["id"], event_type="user.updated")
    assert [each["event_type"] for each in filtered] == ["user.updated"]


async def test_an_event_heard_twice_is_delivered_once(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    again = heard(tenant)
    await world.take(again)
    await world.take(again)
    delivery = await world.delivery(tenant, made["id"])
    assert is_id("dlv", delivery["id"])
    assert delivery["event_id"] == again.id


async def test_the_list_pages_and_filters_by_time(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    await world.happen(tenant, count=5)
    path = {"id": made["id"]}
    first = await world.ask(calls.LIST_DELIVERIES, tenant, path=path, query={"limit": 3})
    assert first.body["pagination"]["total"] == 5
    cursor = first.body["pagination"]["next_cursor"]
    rest = await world.ask(
        calls.LIST_DELIVERIES, tenant, path=path, query={"limit": 3, "cursor": cursor}
    )
    ids = [each["id"] for each in first.body["deliveries"] + rest.body["deliveries"]]
    assert len(set(ids)) == 5
    today = datetime.now(UTC).date()
    assert len(await world.deliveries(tenant, made["id"], created_before=today)) == 5
    assert await world.deliveries(tenant, made["id"], created_after=today + timedelta(2)) == []
    yesterday = today - timedelta(1)
    assert await world.deliveries(tenant, made["id"], created_before=yesterday) == []


async def test_a_page_of_long_answers_still_fits_into_a_message(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    async def long(_: web.Request) -> web.Response:
        return web.Response(status=500, text='"' * 10_000)

    endpoint.answer = long
    for _ in range(25):
        await world.subscribe(tenant, endpoint.url)
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    one = await world.attempted(tenant, made["id"])
    assert one["attempts"][0]["response_body"] == '"' * 4096
    await world.owner.pool.execute(
        "INSERT INTO attempts (tenant_id, delivery_id, number, created_at, webhook_id, at,"
        " duration_ms, response_body) SELECT tenant_id, delivery_id, n, created_at, webhook_id,"
        " at, 1, response_body FROM attempts, generate_series(2, 300) n WHERE delivery_id = $1",
        one["id"],
    )
    await world.owner.pool.execute(
        "UPDATE deliveries SET attempt_count = 300 WHERE id = $1", one["id"]
    )
    listed = await world.ask(calls.LIST_DELIVERIES, tenant, path={"id": made["id"]})
    assert len(listed.reply.body) < 900_000
    attempts = listed.body["deliveries"][0]["attempts"]
    assert [attempts[0]["number"], attempts[-1]["number"]] == [201, 300]


async def test_one_is_sent_again_whatever_became_of_it(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    done = await world.attempted(tenant, made["id"])
    path = {"id": made["id"], "delivery_id": done["id"]}
    again = await world.ask(calls.RETRY_DELIVERY, tenant, path=path)
    assert (again.status, again.body["status"], again.body["completed_at"]) == (
        202,
        "pending",
        None,
    )
    sending.wake()
    done = await world.attempted(tenant, made["id"], 2)
    assert done["status"] == "succeeded"
    assert [got.headers["webhook-id"] for got in endpoint.received] == [done["event_id"]] * 2
    nobody = await world.ask(
        calls.RETRY_DELIVERY, tenant, path={**path, "delivery_id": new_id("dlv")}
    )
    assert nobody.status == 404
    await world.change(tenant, made["id"], status="disabled")
    off = await world.ask(calls.RETRY_DELIVERY, tenant, path=path)
    assert (off.status, off.body["code"]) == (409, "webhook_disabled")


async def test_a_waiting_retry_can_be_sent_now(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    endpoint.status = 500
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    failed = await world.attempted(tenant, made["id"])
    endpoint.status = 204
    path = {"id": made["id"], "delivery_id": failed["id"]}
    await world.ask(calls.RETRY_DELIVERY, tenant, path=path)
    sending.wake()
    done = await world.attempted(tenant, made["id"], 2)
    assert done["status"] == "succeeded"


async def test_a_replay_queues_what_did_not_succeed(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    made = await world.subscribe(tenant, endpoint.url, "user.*")
    (arrived,) = await world.happen(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"])
    await world.change(tenant, made["id"], status="disabled")
    missed = await world.happen(tenant, count=3)
    await world.happen(tenant, "member.added")
    await world.change(tenant, made["id"], status="active")
    nothing = await replay(world, tenant, made["id"], events=["user.deleted"])
    assert (nothing.status, nothing.body) == (202, {"queued": 0})
    queued = await replay(world, tenant, made["id"])
    assert (queued.status, queued.body) == (202, {"queued": 3})
    sending.wake()

    async def all_came() -> bool:
        return len(endpoint.received) == 4

    await until(all_came)
    got = [each.headers["webhook-id"] for each in endpoint.received]
    assert (got[0], sorted(got[1:])) == (arrived, sorted(missed))


async def test_a_replay_queues_the_events_of_its_range_alone(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    await world.change(tenant, made["id"], status="disabled")
    now = datetime.now(UTC)
    for days in (31, 29, 5, 3, 1):
        event = heard(tenant)
        moved = event.event | {"time": (now - timedelta(days=days)).isoformat()}
        await world.take(heard_as(event.subject, orjson.dumps(moved)))
    await world.change(tenant, made["id"], status="active")

    async def queued(since: float, until_: float | None = None) -> int:
        body = {"since": (now - timedelta(days=since)).isoformat()}
        if until_ is not None:
            body["until"] = (now - timedelta(days=until_)).isoformat()
        return int((await replay(world, tenant, made["id"], **body)).body["queued"])

    assert await queued(4, 2) == 1
    assert await queued(5, 3) == 2  # both ends belong to it
    assert await queued(2) == 1
    assert await queued(365) == 4


async def test_a_replay_of_a_senseless_time_is_refused(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    behind = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    future = await replay(world, tenant, made["id"], since=ahead)
    assert (future.status, future.body["errors"][0]["field"]) == (422, "since")
    backwards = await replay(world, tenant, made["id"], until=behind)
    assert (backwards.status, backwards.body["errors"][0]["field"]) == (422, "until")
    ancient = await replay(world, tenant, made["id"], since="0001-01-01T00:00:00Z")
    assert ancient.status == 202


@pytest.mark.parametrize("kind", ["webhook.test", *EVENT_TYPES])
async def test_a_test_is_sent_at_once_to_this_webhook_alone(
    world: World,
    tenant: str,
    endpoint: Receiver,
    another: Receiver,
    sending: Dispatcher,
    kind: str,
) -> None:
    made = await world.subscribe(tenant, endpoint.url, "signing_key.revoked")
    other = await world.subscribe(tenant, another.url, "*")
    body = {} if kind == "webhook.test" else {"event_type": kind}
    tested = await world.ask(calls.SEND_TEST, tenant, body, path={"id": made["id"]})
    assert (tested.status, tested.body["status"], tested.body["attempts"]) == (202, "pending", [])
    assert tested.body["event_type"] == kind
    sending.wake()
    done = await world.attempted(tenant, made["id"])
    assert (done["id"], done["status"]) == (tested.body["id"], "succeeded")
    (got,) = endpoint.received
    sent = Webhook(made["secret"]).verify(got.body, got.headers)
    assert (sent["type"], sent["tenantid"], sent["id"]) == (kind, tenant, tested.body["event_id"])
    if kind in EVENT_TYPES:
        EVENT_TYPES[kind].model_validate_json(orjson.dumps(sent["data"]))
    assert another.received == []
    queued = await replay(world, tenant, other["id"])
    assert queued.body == {"queued": 0}


async def test_a_test_of_an_unknown_type_is_refused(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    refused = await world.ask(
        calls.SEND_TEST, tenant, {"event_type": "user.exploded"}, path={"id": made["id"]}
    )
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "event_type")
