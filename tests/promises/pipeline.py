"""Outbox, relay, stream and consumer without the services around them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from asyncpg import Connection, DeadlockDetectedError
from chassis.broker import Broker
from chassis.database import Pool
from chassis.nats_client import NatsClient
from contracts.context import Context
from contracts.examples import example_of
from contracts.ids import new_id
from contracts.organizations import OrganizationDeleted
from contracts.topology import STREAM
from faststream.nats import NatsRouter
from nats.aio.msg import Msg
from outbox.consumer import Consumer
from outbox.inbox import ReceivedEvent
from outbox.record import create_entry, record
from outbox.relay import Relay
from support.owner import TRACE
from support.waiting import until
from tenantry.servers import Servers

DURABLE = "audit"
"""The durable consumer that the tests read."""


@dataclass
class Pipeline:
    """A database with an outbox and an inbox, and the stream. `handled` are ids of events.

    `poison` fails, `slow` takes too long; so does what has more than `at_once` events.
    """

    servers: Servers
    pool: Pool
    nats: NatsClient
    handled: list[str] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    at_once: int = 10_000
    batches: list[int] = field(default_factory=list)
    deadlocks: int = 0

    async def record(
        self, count: int = 1, wake: Relay | None = None, *, commit: bool = True
    ) -> list[str]:
        """The ids of so many events, recorded in one transaction; wakes the relay if given."""
        context = Context(tenant_id=new_id("ten"), request_id="req_1", traceparent=TRACE)
        data = example_of(OrganizationDeleted)
        entries = [
            create_entry(context, OrganizationDeleted, new_id("org"), data) for _ in range(count)
        ]
        async with self.pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            await record(conn, entries)
            await (transaction.commit() if commit else transaction.rollback())
        if wake is not None:
            wake.wake()
        return [each.event_id for each in entries]

    async def handle(self, conn: Connection, events: Sequence[ReceivedEvent]) -> None:
        if self.deadlocks:
            self.deadlocks -= 1
            raise DeadlockDetectedError
        if len(events) > self.at_once or any(each.id in self.slow for each in events):
            await conn.execute("SELECT pg_sleep(60)")
        if any(each.id in self.poison for each in events):
            raise ValueError
        self.handled += [each.id for each in events]
        self.batches.append(len(events))

    @asynccontextmanager
    async def running_relay(self) -> AsyncIterator[Relay]:
        """A replica's relay, ended as a process ends that is killed."""
        relay = Relay(
            self.servers.database_url("identity"), self.servers.nats_url("admin"), lambda _: None
        )
        async with _running(relay.run()):
            yield relay

    @asynccontextmanager
    async def running_consumer(self) -> AsyncIterator[Consumer]:
        broker, router = Broker(self.nats), NatsRouter()
        await broker.connect()

        consumer = Consumer(DURABLE, self.handle)

        @router.subscriber(**consumer.options)
        async def receive(batch: list[Any]) -> None:
            await consumer.receive(batch)

        consumer.connect(broker, router, self.pool, lambda _: None)
        async with _running(consumer.run()):
            yield consumer

    async def all_published(self) -> bool:
        left = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
        return await self.pool.fetchval(left) == 0

    async def in_stream(self) -> list[str]:
        """The ids of all messages, in order."""
        js = self.nats.jetstream()
        state = (await js.stream_info(STREAM)).state
        if not state.messages:
            return []
        positions = range(state.first_seq, state.last_seq + 1)
        messages = [await js.get_msg(STREAM, position) for position in positions]
        return [(each.headers or {})["Nats-Msg-Id"] for each in messages]

    async def fetch_and_never_ack(self, count: int) -> None:
        """What a process had in hand when it was killed."""
        other = await self.nats.jetstream().pull_subscribe_bind(DURABLE, STREAM)
        in_hand: list[Msg] = []
        while len(in_hand) < count:
            in_hand += await other.fetch(count - len(in_hand), timeout=5)
        await other.unsubscribe()

    async def assert_handled(self, ids: Sequence[str]) -> None:
        """Once each, in this order; waits for them."""

        async def enough() -> bool:
            return len(self.handled) >= len(ids)

        await until(enough)
        assert self.handled == list(ids)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
