"""The inbox: every event takes effect once, however often the stream delivers it.

What the handler does with a batch, and the inbox rows of the batch, are one transaction.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from asyncpg import Connection, DataError, QueryCanceledError
from chassis import tracing
from chassis.database import CONFLICTS, UNAVAILABLE, WRITE_TO_LOG
from chassis.purge import delete_batch
from contracts.context import Context
from contracts.event_validation import MAX_DEPTH, RefusedEvent, validate_event
from contracts.events import ADDRESS_HEADER, AGENT_HEADER
from nats.aio.msg import Msg
from sqlalchemy import func, text

from outbox.tables import INBOX

KEEP = "8 days"
"""A day longer than the stream keeps its messages."""

CHECK_SECONDS = 2.0

TRANSIENT = (*UNAVAILABLE, *CONFLICTS)

_ADD = """
INSERT INTO inbox (event_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING event_id
"""
_KEEP = "UPDATE inbox SET heard_at = now() WHERE heard_at >= $1"
PURGE = delete_batch(INBOX, INBOX.c.heard_at < func.now() - text(f"interval '{KEEP}'"))
"""What the stream cannot deliver again."""


@dataclass(slots=True)
class ReceivedEvent:
    """An event as it was delivered: `event` is the decoded CloudEvent, `payload` its bytes.

    `stream_sequence` is the number of its message in the stream.
    """

    event: dict[str, Any]
    subject: str
    payload: bytes
    ip_address: str | None
    user_agent: str | None
    stream_sequence: int | None = None

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def tenant_id(self) -> str:
        return str(self.event["tenantid"])

    def context(self) -> Context:
        """For what a handler records in consequence: an act of the system, in the same trace."""
        return Context(
            tenant_id=self.tenant_id,
            request_id=self.event["requestid"],
            traceparent=self.event["traceparent"],
        )


Handler = Callable[[Connection, Sequence[ReceivedEvent]], Awaitable[Callable[[], None] | None]]
"""What a service does with new events, in one transaction. What it returns is called once that is
committed. Only if it returns something, its statements may switch synchronous_commit off: then that
is perhaps not on disk yet, and after a crash the handler gets the events again.
"""


MAX_BYTES = 2 * 1024 * 1024
"""More than the largest event that there can be: a project with all that it may have, before and
after a change.
"""
MAX_AGENT = 1024
_ADDRESS = re.compile(r"[!-~]{1,64}")


def parse_event(message: Msg) -> ReceivedEvent:
    """The event of a message. Raises RefusedEvent if it is none of ours: it must stop nobody."""
    if len(message.data) > MAX_BYTES:
        raise RefusedEvent("size")
    address, user_agent = _parse_headers(message.headers or {})
    try:
        event = orjson.loads(message.data)
    except orjson.JSONDecodeError:  # also invalid UTF-8, NaN, and more than 1,024 levels
        raise RefusedEvent("form") from None
    # Hardly any event has so many brackets at all, so hardly any is looked through.
    if message.data.count(b"{") + message.data.count(b"[") > MAX_DEPTH and _is_too_deep(event):
        raise RefusedEvent("form")
    validate_event(message.subject, event, datetime.now(UTC))
    return ReceivedEvent(event, message.subject, message.data, address, user_agent)


def _parse_headers(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Address and agent of whoever caused the event. Raises RefusedEvent."""
    address, agent = headers.get(ADDRESS_HEADER), headers.get(AGENT_HEADER)
    if address is not None and _ADDRESS.fullmatch(address) is None:
        raise RefusedEvent("headers")
    if agent is None:
        return address, None
    try:
        user_agent = orjson.loads(agent)
    except orjson.JSONDecodeError:
        raise RefusedEvent("headers") from None
    if not isinstance(user_agent, str) or len(user_agent) > MAX_AGENT or "\0" in user_agent:
        raise RefusedEvent("headers")
    return address, user_agent


def _is_too_deep(event: Any) -> bool:
    level = [event]
    for _ in range(MAX_DEPTH):
        level = [
            member
            for each in level
            for member in (each.values() if isinstance(each, dict) else each)
            if isinstance(member, dict | list)
        ]
        if not level:
            return False
    return True


async def process_once(conn: Connection, handler: Handler, events: Sequence[ReceivedEvent]) -> int:
    """Gives the handler the events that are new here, in a transaction; returns how many."""
    began = time.monotonic()
    after_commit = None
    async with conn.transaction():
        rows = await conn.fetch(_ADD, [each.id for each in events])
        added = {row["event_id"] for row in rows}
        new: dict[str, ReceivedEvent] = {}
        for each in events:
            if each.id in added:
                # Of two with one id the older counts: nobody replaces an event by another.
                new.setdefault(each.id, each)
        if new:
            after_commit = await handler(conn, list(new.values()))
        else:
            await conn.execute(WRITE_TO_LOG)  # the acks must not outrun a standby
    if after_commit is not None:
        after_commit()
        await conn.execute(WRITE_TO_LOG)  # and what was committed before; the acks follow
    seconds = time.monotonic() - began
    for event in new.values():
        traceparent = event.event["traceparent"]
        tracing.record_span("process", "CONSUMER", traceparent, seconds, type=event.type)
    return len(new)


def is_transient(error: Exception) -> bool:
    """Whether it helps to try again: nothing is wrong with the event, no try is counted."""
    return isinstance(error, TRANSIENT) and not isinstance(error, DataError)


async def is_too_slow(conn: Connection, error: Exception) -> bool:
    """Whether the events needed too much time, and not the database is away.

    That is not transient: what needs more time than there is needs it every time. But a connection
    is given up if it is in a transaction still: asyncpg does not end one whose BEGIN was cancelled,
    and makes all that follows savepoints in it, which nobody would commit.
    """
    if not isinstance(error, TimeoutError | QueryCanceledError):
        return False
    try:
        await conn.fetchval("SELECT 1", timeout=CHECK_SECONDS)
    except TRANSIENT:
        return False
    return not conn.is_in_transaction()


async def keep(conn: Connection, since: datetime) -> None:
    """Keeps what was processed since, as if it were now: for events that are published again from
    databases that were restored. Rows as old as these would be purged before the events come.
    """
    await conn.execute(_KEEP, since)
