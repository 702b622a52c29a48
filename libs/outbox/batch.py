"""Processes a batch of messages in transactions of bounded time, and acks it after each commit.

A transaction that takes too long is tried again with half of the events, down to one by one; the
size grows again with success. So is one whose handler fails, to find the event that stops it; after
MAX_TRIES that one is a dead letter. Transient errors are raised: the consumer tries again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog
from asyncpg import Connection
from chassis.streams import ACK_WAIT
from chassis.telemetry import EVENTS_REFUSED
from contracts.event_validation import Reason, RefusedEvent
from nats.aio.msg import Msg

from outbox import dead_letters
from outbox.inbox import (
    Handler,
    ReceivedEvent,
    is_too_slow,
    is_transient,
    parse_event,
    process_once,
)
from outbox.redelivery import give_back

log = structlog.get_logger()

MAX_EVENTS = 256
"""In one transaction."""
STEP_SECONDS = ACK_WAIT - 1.0
"""For one transaction; after the ack wait the server sends its messages again."""
KEEP_SECONDS = 0.5
"""How often the server is told that the messages are still worked on."""
SLOW_SECONDS = 20.0
"""How long health tells of a transaction that took too long."""
MAX_TRIES = 5
RETRY_SECONDS = (1, 5, 15, 30)

Received = Sequence[tuple[Msg, ReceivedEvent]]


class BatchProcessor:
    """Gives `handler` the events of batches; `on_commit` gets the number that took effect."""

    def __init__(self, handler: Handler, on_commit: Callable[[int], None]) -> None:
        self._handler = handler
        self._on_commit = on_commit
        self._size = MAX_EVENTS
        self._slow_until = 0.0

    @property
    def is_slow(self) -> bool:
        """Whether a transaction took too long a moment ago."""
        return time.monotonic() < self._slow_until

    async def process(self, conn: Connection, messages: Sequence[Msg]) -> None:
        """Acks what took effect; what did not is sent again. Raises transient errors."""
        received = await _parse(messages)
        try:
            await self._process_in_steps(conn, received)
        finally:
            await give_back(message for message, _ in received)

    async def retry_requeued(self, conn: Connection) -> None:
        """Tries the dead letters that an operator has requeued. Raises transient errors."""
        if done := await dead_letters.retry_requeued(conn, self._process_once):
            self._on_commit(done)

    async def _process_in_steps(self, conn: Connection, left: Received) -> None:
        size, kept_at = MAX_EVENTS, time.monotonic()
        while left:
            step = left[: min(size, self._size)]
            try:
                count = await self._process_once(conn, [event for _, event in step])
            except Exception as error:
                if await is_too_slow(conn, error):
                    log.warning("events_too_slow", count=len(step), first=step[0][1].id)
                    self._slow_until = time.monotonic() + SLOW_SECONDS
                    self._size = max(1, len(step) // 2)
                elif is_transient(error):
                    raise
                size = max(1, len(step) // 2)
                if len(step) == 1:
                    await self._fail(conn, *step[0], error)
                    left = left[1:]
            else:
                self._on_commit(count)
                for message, _ in step:
                    await message.ack()
                left = left[len(step) :]
                size *= 2
                self._size = min(MAX_EVENTS, self._size + self._size // 8 + 1)
            if time.monotonic() > kept_at + KEEP_SECONDS:
                for message, _ in left:
                    await message.in_progress()
                kept_at = time.monotonic()

    async def _fail(
        self, conn: Connection, message: Msg, event: ReceivedEvent, error: Exception
    ) -> None:
        """After the last try the event is a dead letter."""
        tries = message.metadata.num_delivered or 1
        log.error("event_failed", event_id=event.id, type=event.type, tries=tries, exc_info=error)
        if tries < MAX_TRIES:
            await message.nak(delay=RETRY_SECONDS[min(tries, len(RETRY_SECONDS)) - 1])
            return
        await dead_letters.add(conn, event, error, tries)
        await message.ack()

    async def _process_once(self, conn: Connection, events: Sequence[ReceivedEvent]) -> int:
        async with asyncio.timeout(STEP_SECONDS):
            return await process_once(conn, self._handler, events)


async def _parse(messages: Sequence[Msg]) -> list[tuple[Msg, ReceivedEvent]]:
    """Each with its event; what is no event of ours is counted and never sent again."""
    received = []
    refused: Counter[tuple[str, Reason]] = Counter()
    for message in messages:
        try:
            event = parse_event(message)
            event.stream_sequence = message.metadata.sequence.stream
            received.append((message, event))
        except RefusedEvent as error:
            publisher = message.subject.split(".", 3)[2]
            refused[publisher, error.reason] += 1
            EVENTS_REFUSED.labels(error.reason).inc()
            await message.term()
    for (publisher, reason), count in refused.items():
        log.error("events_refused", publisher=publisher[:63], reason=reason, count=count)
    return received
