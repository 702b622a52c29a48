"""The consumer: processes the stream for a service, in its order, by one replica at a time.

FastStream's subscriber fetches the batches while this replica leads: it has the advisory lock, on
the connection that commits, so that who lost the lock cannot commit. Transient errors are retried.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import structlog
from asyncpg import Connection, Pool
from chassis.broker import Broker
from chassis.streams import consumer_config
from contracts.topology import STREAM, Lock
from faststream import AckPolicy
from faststream.nats import JStream, NatsRouter, PullSub
from faststream.nats.message import NatsBatchMessage
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, ConsumerInfo

from outbox.batch import MAX_EVENTS, BatchProcessor
from outbox.inbox import TRANSIENT, Handler
from outbox.pace import Pace
from outbox.redelivery import Redelivery, give_back

log = structlog.get_logger()

BATCH = MAX_EVENTS
FETCH_SECONDS = 5.0
BATCH_SECONDS = 0.03
"""For each batch under load: see `Pace`."""
STANDBY_SECONDS = 1.0
PAUSE_SECONDS = 0.2
CHECK_SECONDS = 5.0
"""How often the leader looks at what was requeued."""
HELD_SECONDS = 1.0
"""How often at what was held back, while there is something."""

_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_TRANSIENT = (*TRANSIENT, NatsError)


class SubscriberOptions(TypedDict):
    """What `@router.subscriber` is given for a durable consumer."""

    config: ConsumerConfig
    durable: str
    stream: JStream
    pull_sub: PullSub[Literal[True]]
    ack_policy: AckPolicy
    inbox_prefix: bytes
    decoder: Callable[[NatsBatchMessage], Awaitable[list[Msg]]]


@dataclass
class _Leadership:
    """What there is while this replica leads: until `ended`, by an error or because it stops."""

    conn: Connection
    redelivery: Redelivery
    ended: asyncio.Future[None]

    def end(self, error: Exception | None = None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


class Consumer:
    """Processes what the durable consumer of a service delivers; `handler` gets the new events.

    It is declared beside a router (`services/*/subscribers.py`), and connected at the start.
    """

    def __init__(self, service: str, handler: Handler) -> None:
        self._service = service
        self._handler = handler
        self._processing = asyncio.Lock()
        self._pace = Pace(BATCH_SECONDS)
        self._leadership: _Leadership | None = None
        self._stopping = False

    @property
    def options(self) -> SubscriberOptions:
        """The options of `@router.subscriber` for the handler that calls `receive`.

        `tenantry bootstrap` makes stream and consumer: a service may not, and declares nothing.
        """
        return {
            "config": consumer_config(self._service),
            "durable": self._service,
            "stream": JStream(STREAM, declare=False),
            "pull_sub": PullSub(batch_size=BATCH, timeout=FETCH_SECONDS, batch=True),
            "ack_policy": AckPolicy.MANUAL,  # after the commit
            "inbox_prefix": f"_INBOX_{self._service}.".encode(),
            "decoder": _keep_messages,
        }

    def connect(
        self, broker: Broker, router: NatsRouter, pool: Pool, on_commit: Callable[[int], None]
    ) -> None:
        """Gives it what it needs to `run`. The router has its subscriber alone.

        `on_commit` is called with how many events took effect.
        """
        broker.include_router(router)
        (self._subscriber,) = router.subscribers
        self._js = broker.connection.jetstream(timeout=1)
        self._pool = pool
        self._processor = BatchProcessor(self._handler, on_commit)

    def expect_redelivery(self) -> None:
        """A connection broke: some of what was sent may never have come."""
        if self._leadership is not None:
            self._leadership.redelivery.expect()

    @property
    def is_slow(self) -> bool:
        """Whether a transaction took too long within the last minute."""
        return self._processor.is_slow

    async def info(self) -> ConsumerInfo:
        """The durable consumer as the server has it. Raises when it is gone."""
        info: ConsumerInfo = await self._js.consumer_info(STREAM, self._service)
        return info

    async def run(self) -> None:
        """Runs until stopped or cancelled; after a transient error it begins again."""
        while not self._stopping:
            try:
                async with self._pool.acquire() as conn:
                    try:
                        await self._lead(conn)
                    finally:
                        conn.terminate()  # ends the lock without waiting for the server
            except _TRANSIENT as error:
                log.warning("consumer_interrupted", error=type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)

    async def stop(self) -> None:
        """Completes the batch under way, and processes no other."""
        self._stopping = True
        if self._leadership is not None:
            self._leadership.end()
        async with self._processing:
            pass

    async def receive(self, batch: Sequence[Msg]) -> None:
        """Processes what FastStream has fetched, while this replica leads.

        FastStream logs what a handler raises, and goes on; so errors go to whoever leads.
        """
        async with self._processing:
            lead = self._leadership
            if lead is None or lead.ended.done():
                await give_back(batch)
            else:
                try:
                    messages = await lead.redelivery.in_order(batch)
                    await self._processor.process(lead.conn, messages)
                except Exception as error:  # noqa: BLE001 - raised again by `_consume`
                    lead.end(error)
        if lead is None or lead.ended.done():
            await asyncio.sleep(PAUSE_SECONDS)  # until FastStream is told to stop
        elif len(batch) < BATCH:
            await asyncio.sleep(self._pace.pause())

    async def _lead(self, conn: Connection) -> None:
        """Waits for the lock, then consumes as long as the connection that holds it lives."""
        while not await conn.fetchval(_TRY_LOCK, Lock.CONSUMER):  # noqa: ASYNC110 - held elsewhere
            await asyncio.sleep(STANDBY_SECONDS)
        if self._stopping:
            return
        log.info("consumer_leads")
        ended = asyncio.get_running_loop().create_future()
        lead = self._leadership = _Leadership(conn, Redelivery(self.info), ended)
        try:
            await self._consume(lead)
        finally:
            self._leadership = None
            lead.end()
            with contextlib.suppress(NatsError):
                await self._subscriber.stop()
            await lead.redelivery.give_back()

    async def _consume(self, lead: _Leadership) -> None:
        await self.info()  # FastStream would try to create a consumer that is missing
        await self._subscriber.start()
        while True:
            is_holding = lead.redelivery.is_holding
            await asyncio.wait({lead.ended}, timeout=HELD_SECONDS if is_holding else CHECK_SECONDS)
            if lead.ended.done():
                lead.ended.result()
                return
            async with self._processing:
                await self._processor.process(lead.conn, await lead.redelivery.complete())
                await self._processor.retry_requeued(lead.conn)


async def _keep_messages(batch: NatsBatchMessage) -> list[Msg]:
    """FastStream's decoder: the handler gets the messages of nats-py, decoded once, as events."""
    return batch.raw_message
