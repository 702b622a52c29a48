"""Listening: a service's durable consumer, in batches and in order, acked after the commit.

One replica listens at a time (advisory lock on the connection that takes the effects in, so that
who lost the lock cannot commit). What passes by itself is waited for; an event whose effect fails
is tried by itself, so that it stops nobody, and is a dead letter after MAX_TRIES.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from asyncpg import Connection, Pool
from chassis.database import UNAVAILABLE
from chassis.streams import ACK_WAIT
from contracts.topology import STREAM
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo

from outbox import dead_letters
from outbox.inbox import TRANSIENT, Handler, ReceivedEvent, is_transient, parse_event, process_once

log = structlog.get_logger()

LOCK = 5_021_977_316
BATCH = 256
FETCH_SECONDS = 1.0
GATHER_SECONDS = 0.02
"""Between two batches under load: each costs a handful of statements, whatever its size."""
STANDBY_SECONDS = 1.0
PAUSE_SECONDS = 0.2
REQUEUED_SECONDS = 2.0
OWED_SECONDS = ACK_WAIT + 2.0
MAX_TRIES = 5
RETRY_SECONDS = (1, 5, 15, 30)

_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_UNLOCK = "SELECT pg_advisory_unlock($1)"
_PASSING = (*TRANSIENT, NatsError)


class Consumer:
    """Gives `effect` what the service hears; `after` is called when effects are committed.

    `consumed` is told how many events took effect.
    """

    def __init__(
        self,
        service: str,
        pool: Pool,
        nats: Client,
        effect: Handler,
        *,
        after: Callable[[], None],
        consumed: Callable[[int], None],
    ) -> None:
        self._service = service
        self._pool = pool
        self._js = nats.jetstream(timeout=1)
        self._effect = effect
        self._after = after
        self._consumed = consumed
        self._hearing = asyncio.Lock()
        self._stopping = False
        self._settled = False
        self._next_number = 0

    def expect_redelivery(self) -> None:
        """A connection broke: some of what was sent may never have come."""
        self._settled = False

    async def consumer(self) -> ConsumerInfo:
        """The durable consumer as the server has it. Raises when it is gone."""
        info: ConsumerInfo = await self._js.consumer_info(STREAM, self._service)
        return info

    async def run(self) -> None:
        """Runs until stopped or cancelled; whatever fails, it begins again."""
        while not self._stopping:
            try:
                async with self._pool.acquire() as conn:
                    try:
                        await self._lead(conn)
                    finally:
                        conn.terminate()  # and the lock with it
            except _PASSING as error:
                log.warning("listening_interrupted", error=type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)

    async def stop(self) -> None:
        """Lets the batch under way end, and takes no other."""
        self._stopping = True
        async with self._hearing:
            pass

    async def _lead(self, conn: Connection) -> None:
        """Waits for the lock, then hears as long as the connection that holds it lives."""
        while not await conn.fetchval(_TRY_LOCK, LOCK):  # noqa: ASYNC110 - held elsewhere
            await asyncio.sleep(STANDBY_SECONDS)
        try:
            log.info("listening")
            await self._listen(conn)
        finally:
            with contextlib.suppress(*UNAVAILABLE):  # the connection goes back to the pool
                await conn.execute(_UNLOCK, LOCK)

    async def _listen(self, conn: Connection) -> None:
        subscription = await self._js.pull_subscribe_bind(self._service, STREAM)
        self._settled = False
        requeued_at = time.monotonic()
        try:
            while not self._stopping:
                messages = await self._next(subscription)
                async with self._hearing:
                    if messages:
                        await self._hear(conn, messages)
                    if time.monotonic() >= requeued_at:
                        await self._hear_requeued(conn)
                        requeued_at = time.monotonic() + REQUEUED_SECONDS
                if 0 < len(messages) < BATCH:
                    await asyncio.sleep(GATHER_SECONDS)
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    async def _next(self, subscription: JetStreamContext.PullSubscription) -> list[Msg]:
        """The next messages, in the order of the stream.

        After a start, a break or a gap others are owed: sent once, never acked, they come again
        after the ack wait. They are older than what is new, and are waited for.
        """
        messages = await self._fetch(subscription)
        if self._settled or not messages:
            return messages
        self._settled = True
        in_hand: dict[int, Msg] = {}
        deadline = time.monotonic() + OWED_SECONDS
        while True:
            in_hand |= {each.metadata.sequence.stream: each for each in messages}
            consumer = await self.consumer()
            sent = consumer.delivered.stream_seq if consumer.delivered else 0
            if not self._settled or sent < max(in_hand):
                # Broken again meanwhile, or a server that forgot what it sent: all over again.
                self._settled = False
                await _give_back(in_hand.values())
                return []
            owed = consumer.num_ack_pending or 0
            if owed <= len(in_hand) or self._stopping or time.monotonic() > deadline:
                return [in_hand[position] for position in sorted(in_hand)]
            messages = await self._fetch(subscription)

    async def _fetch(self, subscription: JetStreamContext.PullSubscription) -> list[Msg]:
        """As soon as there are any; empty after a second without.

        A consumer numbers what it sends. Where a number is missing, a server of the cluster died
        with the message on its way.
        """
        try:
            messages = await subscription.fetch(BATCH, timeout=FETCH_SECONDS)
        except TimeoutError:
            return []
        for number in (each.metadata.sequence.consumer for each in messages):
            if number != self._next_number:
                self._settled = False
            self._next_number = number + 1
        return messages

    async def _hear(self, conn: Connection, messages: Sequence[Msg]) -> None:
        known = await _readable(messages)
        try:
            if not self._stopping:
                await self._take_all(conn, known)
                self._after()
        finally:
            await _give_back(message for message, _ in known)

    async def _take_all(self, conn: Connection, known: Sequence[tuple[Msg, ReceivedEvent]]) -> None:
        try:
            self._consumed(await process_once(conn, self._effect, [each for _, each in known]))
        except Exception as error:
            if is_transient(error):
                raise
            # One of them is poison: find it.
            for message, each in known:
                await self._take_one(conn, message, each)
            return
        for message, _ in known:
            await message.ack()

    async def _take_one(self, conn: Connection, message: Msg, each: ReceivedEvent) -> None:
        try:
            self._consumed(await process_once(conn, self._effect, [each]))
        except Exception as error:
            if is_transient(error):
                raise
            tries = message.metadata.num_delivered or 1
            log.exception("event_failed", event_id=each.id, type=each.type, tries=tries)
            if tries < MAX_TRIES:
                await message.nak(delay=RETRY_SECONDS[min(tries, len(RETRY_SECONDS)) - 1])
                return
            await dead_letters.keep(conn, each, error, tries)
        await message.ack()

    async def _hear_requeued(self, conn: Connection) -> None:
        if done := await dead_letters.try_requeued(conn, self._effect):
            self._consumed(done)
            self._after()


async def _give_back(messages: Iterable[Msg]) -> None:
    """Those of them that nobody has acked come again at once."""
    for message in messages:
        with contextlib.suppress(NatsError):
            await message.nak()


async def _readable(messages: Sequence[Msg]) -> list[tuple[Msg, Any]]:
    """Each with its event; what is no event is ended."""
    known = []
    for message in messages:
        each = parse_event(message)
        if each is None:
            log.error("event_unreadable", subject=message.subject)
            await message.term()
        else:
            known.append((message, each))
    return known
