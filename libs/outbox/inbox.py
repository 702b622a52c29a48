"""The inbox: every event takes effect once, however often the stream delivers it.

What the handler does with a batch, and the inbox rows of the batch, are one transaction.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from asyncpg import Connection, DataError
from chassis import tracing
from chassis.database import CONFLICTS, UNAVAILABLE
from contracts.context import Context
from contracts.events import ADDRESS_HEADER, AGENT_HEADER
from nats.aio.msg import Msg

KEEP = "8 days"
"""A day longer than the stream keeps its messages."""

TRANSIENT = (*UNAVAILABLE, *CONFLICTS)

_ADD = """
INSERT INTO inbox (event_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING event_id
"""
_PURGE = f"DELETE FROM inbox WHERE heard_at < now() - interval '{KEEP}'"


@dataclass(slots=True)
class ReceivedEvent:
    """An event as it was delivered: `event` is the decoded CloudEvent, `payload` its bytes."""

    event: dict[str, Any]
    subject: str
    payload: bytes
    ip_address: str | None
    user_agent: str | None

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


Handler = Callable[[Connection, Sequence[ReceivedEvent]], Awaitable[None]]
"""What a service does with new events, in one transaction."""


_TEXTS = ("id", "source", "type", "subject", "time", "tenantid", "requestid", "traceparent")
"""The members of the envelope that every event of ours has, as text."""


def parse_event(message: Msg) -> ReceivedEvent | None:
    """The event of a message; None when it is no event of ours: it must stop nobody."""
    headers = message.headers or {}
    try:
        event = orjson.loads(message.data)
        agent = headers.get(AGENT_HEADER)
        user_agent = orjson.loads(agent) if agent else None
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        return None
    if not all(isinstance(event.get(name), str) for name in _TEXTS):
        return None
    return ReceivedEvent(
        event, message.subject, message.data, headers.get(ADDRESS_HEADER), user_agent
    )


async def process_once(conn: Connection, handler: Handler, events: Sequence[ReceivedEvent]) -> int:
    """Gives the handler the events that are new here, in a transaction; returns how many."""
    began = time.monotonic()
    async with conn.transaction():
        rows = await conn.fetch(_ADD, [each.id for each in events])
        added = {row["event_id"] for row in rows}
        new = list({each.id: each for each in events if each.id in added}.values())
        if new:
            await handler(conn, new)
    seconds = time.monotonic() - began
    for event in new:
        traceparent = event.event["traceparent"]
        tracing.record_span("process", "CONSUMER", traceparent, seconds, type=event.type)
    return len(new)


def is_transient(error: Exception) -> bool:
    """Whether it helps to try again: nothing is wrong with the event, no try is counted."""
    return isinstance(error, TRANSIENT) and not isinstance(error, DataError)


async def purge(conn: Connection) -> None:
    """Deletes the rows of events that the stream cannot deliver again."""
    await conn.execute(_PURGE)
