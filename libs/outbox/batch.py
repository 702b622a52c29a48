"""Processes a batch of messages in one transaction, and acks it after the commit.

If the handler fails, each event is tried by itself, so that one stops no other; after MAX_TRIES it
is a dead letter. Transient errors are raised: the consumer tries again.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import structlog
from asyncpg import Connection
from chassis.telemetry import EVENTS_REFUSED
from contracts.event_validation import Reason, RefusedEvent
from nats.aio.msg import Msg

from outbox import dead_letters
from outbox.inbox import Handler, ReceivedEvent, is_transient, parse_event, process_once
from outbox.redelivery import give_back

log = structlog.get_logger()

MAX_TRIES = 5
RETRY_SECONDS = (1, 5, 15, 30)


class BatchProcessor:
    """Gives `handler` the events of batches; `on_commit` gets the number that took effect."""

    def __init__(self, handler: Handler, on_commit: Callable[[int], None]) -> None:
        self._handler = handler
        self._on_commit = on_commit

    async def process(self, conn: Connection, messages: Sequence[Msg]) -> None:
        """Acks what took effect; what did not is sent again. Raises transient errors."""
        received = await _parse(messages)
        try:
            if received:
                await self._process_all(conn, received)
        finally:
            await give_back(message for message, _ in received)

    async def retry_requeued(self, conn: Connection) -> None:
        """Tries the dead letters that an operator has requeued. Raises transient errors."""
        if done := await dead_letters.retry_requeued(conn, self._handler):
            self._on_commit(done)

    async def _process_all(
        self, conn: Connection, received: Sequence[tuple[Msg, ReceivedEvent]]
    ) -> None:
        try:
            await self._process_once(conn, [event for _, event in received])
        except Exception as error:
            if is_transient(error):
                raise
            # One of them is poison: find it.
            for message, event in received:
                await self._process_one(conn, message, event)
            return
        for message, _ in received:
            await message.ack()

    async def _process_one(self, conn: Connection, message: Msg, event: ReceivedEvent) -> None:
        try:
            await self._process_once(conn, [event])
        except Exception as error:
            if is_transient(error):
                raise
            tries = message.metadata.num_delivered or 1
            log.exception("event_failed", event_id=event.id, type=event.type, tries=tries)
            if tries < MAX_TRIES:
                await message.nak(delay=RETRY_SECONDS[min(tries, len(RETRY_SECONDS)) - 1])
                return
            await dead_letters.add(conn, event, error, tries)
        await message.ack()

    async def _process_once(self, conn: Connection, events: Sequence[ReceivedEvent]) -> None:
        self._on_commit(await process_once(conn, self._handler, events))


async def _parse(messages: Sequence[Msg]) -> list[tuple[Msg, ReceivedEvent]]:
    """Each with its event; what is no event of ours is counted and never sent again."""
    received = []
    refused: Counter[tuple[str, Reason]] = Counter()
    for message in messages:
        try:
            received.append((message, parse_event(message)))
        except RefusedEvent as error:
            publisher = message.subject.split(".", 3)[2]
            refused[publisher, error.reason] += 1
            EVENTS_REFUSED.labels(error.reason).inc()
            await message.term()
    for (publisher, reason), count in refused.items():
        log.error("events_refused", publisher=publisher[:63], reason=reason, count=count)
    return received
