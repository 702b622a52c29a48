"""Outbox, relay, inbox: what docs/guarantees.md says of each, on a real PostgreSQL and NATS."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chassis import migrations, streams
from chassis.broker import Broker
from chassis.database import Pool, open_pool
from chassis.nats_client import NatsClient, connect
from contracts.context import Context
from contracts.ids import new_id
from contracts.organizations import OrganizationDeleted
from contracts.topology import STREAM
from faststream.nats import NatsRouter
from nats.aio.msg import Msg
from outbox import dead_letters
from outbox.consumer import BATCH, Consumer
from outbox.inbox import ReceivedEvent
from outbox.record import create_entry, record
from outbox.relay import Relay
from outbox.republish import republish
from support.owner import TRACE
from support.servers import kill, servers_on
from support.waiting import until
from tenantry.servers import Servers

HEARS_ALL = "audit"
"""The durable consumer that the tests listen through."""


@dataclass
class Scene:
    """A database with an outbox and an inbox, and the stream."""

    servers: Servers
    pool: Pool
    nats: NatsClient
    heard: list[str] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)

    async def happen(self, count: int = 1, *, recorded: bool = True) -> list[str]:
        """Events in one transaction, which is rolled back unless they are `recorded`."""
        context = Context(tenant_id=new_id("ten"), request_id="req_1", traceparent=TRACE)
        made = [create_entry(context, OrganizationDeleted, new_id("org"), {}) for _ in range(count)]
        async with self.pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            await record(conn, made)
            await (transaction.commit() if recorded else transaction.rollback())
        return [each.event_id for each in made]

    async def effect(self, _: object, events: Sequence[ReceivedEvent]) -> None:
        if any(each.id in self.poison for each in events):
            raise ValueError
        self.heard += [each.id for each in events]

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[Relay]:
        """A replica's relay, ended as a process ends that is killed."""
        relay = Relay(
            self.servers.database_url("identity"), self.servers.nats_url("admin"), lambda _: None
        )
        async with _running(relay.run()):
            yield relay

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Consumer]:
        broker, router = Broker(self.nats), NatsRouter()
        await broker.connect()

        listener = Consumer(HEARS_ALL, self.effect)

        @router.subscriber(**listener.options)
        async def receive(batch: list[Any]) -> None:
            await listener.receive(batch)

        listener.connect(broker, router, self.pool, lambda _: None)
        async with _running(listener.run()):
            yield listener

    async def kill_the_broker(self) -> None:
        await kill(self.servers, "nats")

    async def all_published(self) -> bool:
        left = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
        return await self.pool.fetchval(left) == 0

    async def in_stream(self) -> list[str]:
        """The ids of all messages, in order."""
        js = self.nats.jetstream()
        state = (await js.stream_info(STREAM)).state
        if not state.messages:
            return []
        messages = [
            await js.get_msg(STREAM, position)
            for position in range(state.first_seq, state.last_seq + 1)
        ]
        return [(each.headers or {})["Nats-Msg-Id"] for each in messages]

    async def sent_and_never_acked(self, count: int) -> None:
        """What a process had in hand when it was killed."""
        other = await self.nats.jetstream().pull_subscribe_bind(HEARS_ALL, STREAM)
        in_hand: list[Msg] = []
        while len(in_hand) < count:
            in_hand += await other.fetch(count - len(in_hand), timeout=5)
        await other.unsubscribe()

    async def all_heard(self, ids: Sequence[str]) -> None:
        async def enough() -> bool:
            return len(self.heard) >= len(ids)

        await until(enough)
        assert self.heard == list(ids)


@asynccontextmanager
async def _running(work: "asyncio.Future[None] | object") -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)  # type: ignore[arg-type]
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(scope="module")
async def own_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Its NATS is killed, so it is not the one that all tests share."""
    folder = tmp_path_factory.mktemp("backbone")
    async with servers_on(folder, with_redis=False) as running:
        await asyncio.to_thread(migrations.upgrade, "identity", running.migration_url("identity"))
        yield running


@pytest.fixture
async def scene(own_servers: Servers) -> AsyncIterator[Scene]:
    pool = await open_pool(own_servers.database_url("identity"), 10)
    await pool.execute("DELETE FROM outbox")
    await pool.execute("DELETE FROM dead_letters")
    nats = await connect(own_servers.nats_url("admin"))
    with suppress(Exception):
        await nats.jetstream().delete_stream(STREAM)
    await streams.bootstrap(own_servers.nats_url("admin"))
    yield Scene(own_servers, pool, nats)
    with suppress(OSError):
        await nats.close()
    await pool.close()


async def test_what_is_rolled_back_is_never_told(scene: Scene) -> None:
    async with scene.publishing(), scene.listening():
        await scene.happen(3, recorded=False)
        told = await scene.happen(2)
        await scene.all_heard(told)


async def test_one_relay_leads_and_another_takes_over_within_five_seconds(scene: Scene) -> None:
    async with scene.listening():
        async with scene.publishing():
            told = await scene.happen()
            await scene.all_heard(told)
            standby = scene.publishing()
            await standby.__aenter__()
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            assert await scene.pool.fetchval(locks) == 2, "the relay's and the listener's"
        died = time.monotonic()
        told += await scene.happen()
        await scene.all_heard(told)
        assert time.monotonic() - died < 5
        await standby.__aexit__(None, None, None)


async def test_order_holds_while_the_broker_is_killed(scene: Scene) -> None:
    told: list[str] = []
    async with scene.publishing() as relay, scene.listening():
        for _ in range(4):
            for _ in range(5):
                told += await scene.happen(300)
                relay.wake()
            await scene.kill_the_broker()
        told += await scene.happen(10)

        await until(scene.all_published, 40)
        await scene.all_heard(told)
    in_stream = await scene.in_stream()
    assert list(dict.fromkeys(in_stream)) == told


async def test_what_a_killed_process_had_in_hand_is_heard_first(scene: Scene) -> None:
    async with scene.publishing() as relay:
        told = await scene.happen(BATCH)
        relay.wake()
        await scene.sent_and_never_acked(BATCH)
        told += await scene.happen(50)
        relay.wake()
        async with scene.listening():
            await scene.all_heard(told)


async def test_what_was_sent_and_never_came_is_heard_before_what_is_newer(scene: Scene) -> None:
    """As when another server of a cluster dies with what it was sending."""
    js = scene.nats.jetstream()

    async def both_wait() -> bool:
        return (await js.consumer_info(STREAM, HEARS_ALL)).num_waiting == 2

    async with scene.publishing() as relay, scene.listening():
        told = await scene.happen(5)
        relay.wake()
        await scene.all_heard(told)
        swallowing = asyncio.create_task(scene.sent_and_never_acked(3))
        await until(both_wait)
        told += await scene.happen(30)
        relay.wake()
        await swallowing
        told += await scene.happen(30)
        relay.wake()
        await scene.all_heard(told)


async def test_one_replica_listens_and_another_takes_over(scene: Scene) -> None:
    async with scene.publishing() as relay, scene.listening():
        async with scene.listening():
            told = await scene.happen(20)
            relay.wake()
            await scene.all_heard(told)
        told += await scene.happen(20)
        relay.wake()
        await scene.all_heard(told)


async def test_a_lost_stream_is_filled_again_and_changes_nothing(scene: Scene) -> None:
    async with scene.publishing() as relay, scene.listening():
        told = await scene.happen(30)
        relay.wake()
        await scene.all_heard(told)
        await until(scene.all_published)
        await scene.nats.jetstream().delete_stream(STREAM)
        await streams.bootstrap(scene.servers.nats_url("admin"))
        async with scene.pool.acquire() as conn:
            assert await republish(conn, datetime.now(UTC) - timedelta(hours=1)) == 30
        relay.wake()

        async def filled() -> bool:
            return len(await scene.in_stream()) == 30

        await until(filled)
        assert await scene.in_stream() == told
        later = await scene.happen()
        relay.wake()
        await scene.all_heard(told + later)


async def test_published_events_are_kept_a_day(scene: Scene) -> None:
    kept, old = await scene.happen(2)
    async with scene.publishing():
        await until(scene.all_published)
    age = "UPDATE outbox SET published_at = now() - interval '{}' WHERE event_id = $1"
    await scene.pool.execute(age.format("25 hours"), old)
    await scene.pool.execute(age.format("23 hours"), kept)
    async with scene.publishing():

        async def forgotten() -> bool:
            return await scene.pool.fetchval("SELECT count(*) FROM outbox") == 1

        await until(forgotten)
    assert await scene.pool.fetchval("SELECT event_id FROM outbox") == kept


async def test_poison_stops_nobody_is_a_dead_letter_and_can_be_requeued(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.consumer.RETRY_SECONDS", (0.05,))
    told = await scene.happen(9)
    bad = told[4]
    scene.poison = {bad}
    async with scene.publishing(), scene.listening(), scene.pool.acquire() as conn:

        async def given_up() -> bool:
            return await dead_letters.count(conn) == 1

        await until(given_up)
        assert scene.heard == [each for each in told if each != bad]
        (letter,) = await dead_letters.list_all(conn)
        assert (letter["event_id"], letter["error"], letter["tries"]) == (bad, "ValueError", 5)
        assert await dead_letters.requeue(conn, [bad]) == 1

        async def failed_again() -> bool:
            (letter,) = await dead_letters.list_all(conn)
            return letter["tries"] == 1

        await until(failed_again)
        scene.poison = set()
        assert await dead_letters.requeue(conn, None) == 1

        async def gone() -> bool:
            return await dead_letters.count(conn) == 0

        await until(gone)
    assert scene.heard[-1] == bad
    assert len(scene.heard) == len(told)


async def test_a_vanished_consumer_is_noticed_and_heard_again_once_it_is_made(
    scene: Scene,
) -> None:
    async with scene.publishing() as relay, scene.listening() as listener:
        told = await scene.happen(5)
        relay.wake()
        await scene.all_heard(told)
        await scene.nats.jetstream().delete_consumer(STREAM, HEARS_ALL)
        with pytest.raises(Exception, match="consumer not found"):
            await listener.info()
        told += await scene.happen(5)
        relay.wake()
        await streams.bootstrap(scene.servers.nats_url("admin"))
        await scene.all_heard(told)
