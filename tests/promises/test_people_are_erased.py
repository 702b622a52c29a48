"""A deleted person is erased from outbox, dead letters and stream; what services need stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from chassis.stream_erasure import erase_people
from contracts.context import Context
from contracts.events import EventData
from contracts.examples import example_event
from contracts.ids import new_id
from contracts.lifecycle import PersonErased
from contracts.topology import STREAM
from contracts.users import UserCreated, UserDeleted
from nats.js.errors import NotFoundError
from outbox import person_erasure
from outbox.dead_letters import add
from outbox.inbox import ReceivedEvent
from outbox.person_erasure import erase_from_dead_letters
from outbox.record import OutboxEntry, create_entry, create_message, record
from promises.pipeline import Pipeline
from support.owner import TRACE
from support.waiting import until

ADDRESS = b"ada@example.com"
TENANT = new_id("ten")
_PAYLOADS = "SELECT payload FROM outbox ORDER BY position"


def entry(kind: type[EventData], user: str, data: dict[str, Any] | None = None) -> OutboxEntry:
    context = Context(
        tenant_id=TENANT,
        actor_type="user",
        actor_id=user,
        request_id="req_1",
        traceparent=TRACE,
        ip_address="203.0.113.7",
    )
    return create_entry(context, kind, user, data or example_event(kind)["data"])


async def record_all(pipeline: Pipeline, *entries: OutboxEntry) -> None:
    async with pipeline.pool.acquire() as conn, conn.transaction():
        await record(conn, entries)


@pytest.fixture
async def _erasing(pipeline: Pipeline) -> AsyncIterator[None]:
    task = asyncio.create_task(erase_people(pipeline.nats.jetstream(), lambda _: None))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_the_outbox_keeps_identifiers_alone_before_the_deletion_is_marked(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_erasure, "BATCH", 2)
    user, other = new_id("usr"), new_id("usr")
    created = [entry(UserCreated, user) for _ in range(5)]
    deleted = entry(UserDeleted, user, {"user_id": user})
    await record_all(pipeline, *created, entry(UserCreated, other))
    async with pipeline.running_relay():
        await until(pipeline.all_published)
        await record_all(pipeline, deleted)
        await until(pipeline.all_published)
    rows = await pipeline.pool.fetch("SELECT * FROM outbox ORDER BY position")
    assert [ADDRESS in row["payload"] for row in rows] == [False] * 5 + [True, False]
    assert [row["ip_address"] for row in rows] == [None] * 5 + ["203.0.113.7", None]
    assert all(user.encode() in row["payload"] for row in rows[:5])


async def test_dead_letters_keep_identifiers_alone(pipeline: Pipeline) -> None:
    user, other = new_id("usr"), new_id("usr")
    async with pipeline.pool.acquire() as conn:
        for each in (entry(UserCreated, user), entry(UserCreated, other)):
            event = orjson.loads(each.payload)
            letter = ReceivedEvent(event, each.subject, each.payload, each.ip_address, None)
            await add(conn, letter, ValueError(), 5)
        await erase_from_dead_letters(conn, TENANT, user)
        rows = await conn.fetch("SELECT payload FROM dead_letters")
    assert {(other.encode() in row["payload"], ADDRESS in row["payload"]) for row in rows} == {
        (True, True),
        (False, False),
    }


async def in_stream(pipeline: Pipeline) -> dict[str, int]:
    """Where each event stands."""
    js = pipeline.nats.jetstream()
    state = (await js.stream_info(STREAM)).state
    found = {}
    for sequence in range(1, state.last_seq + 1):
        with suppress(NotFoundError):
            message = await js.get_msg(STREAM, sequence)
            found[(message.headers or {})["Nats-Msg-Id"]] = sequence
    return found


async def ack_all(pipeline: Pipeline, service: str) -> None:
    subscription = await pipeline.nats.jetstream().pull_subscribe_bind(service, STREAM)
    for message in await subscription.fetch(50, timeout=1):
        await message.ack_sync()


@pytest.mark.usefixtures("_erasing")
async def test_the_stream_erases_what_a_deletion_names_once_every_service_has_had_it(
    pipeline: Pipeline,
) -> None:
    user, other = new_id("usr"), new_id("usr")
    mine, theirs = entry(UserCreated, user), entry(UserCreated, other)
    deleted = entry(UserDeleted, user, {"user_id": user})
    await record_all(pipeline, mine, theirs, deleted)
    async with pipeline.running_relay():
        await until(pipeline.all_published)
        places = await in_stream(pipeline)
        # A webhooks that was taken over names what it likes.
        context = Context(tenant_id=TENANT, request_id="req_1", traceparent=TRACE)
        requests = [
            create_message(context, message, "webhooks", TENANT, user)
            for message in (
                PersonErased(deletion=places[theirs.event_id], messages=[places[theirs.event_id]]),
                PersonErased(deletion=places[deleted.event_id], messages=list(places.values())),
            )
        ]
        await record_all(pipeline, *requests)
        await until(pipeline.all_published)
        js = pipeline.nats.jetstream()

        async def asked() -> bool:
            info = await js.consumer_info(STREAM, "erasure")
            return bool(info.delivered and info.delivered.consumer_seq >= 2)

        await until(asked)
        await ack_all(pipeline, "audit")
        assert mine.event_id in await in_stream(pipeline), "webhooks has not had it"
        await ack_all(pipeline, "webhooks")

        async def erased() -> bool:
            return mine.event_id not in await in_stream(pipeline)

        await until(erased)

        async def all_done() -> bool:
            info = await js.consumer_info(STREAM, "erasure")
            return not info.num_pending and not info.num_ack_pending

        await until(all_done)
    left = set(await in_stream(pipeline))
    assert left >= {theirs.event_id, deleted.event_id}, "nothing else is erased"
