"""The inbox: every event takes effect once, however often the stream sends it.

A batch, its effect and its marks are one transaction.
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

KEEP_MARKS = "8 days"
"""A day longer than the stream keeps its messages."""

TRANSIENT = (*UNAVAILABLE, *CONFLICTS)

_FIRST_TIME = """
INSERT INTO inbox (event_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING event_id
"""
_FORGET = f"DELETE FROM inbox WHERE heard_at < now() - interval '{KEEP_MARKS}'"


@dataclass(slots=True)
class ReceivedEvent:
    """An event as it came: `event` is the CloudEvent decoded, `payload` its bytes."""

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
        """For what this service records in consequence: done by the system, in the same trace."""
        return Context(
            tenant_id=self.tenant_id,
            request_id=self.event["requestid"],
            traceparent=self.event["traceparent"],
        )


Handler = Callable[[Connection, Sequence[ReceivedEvent]], Awaitable[None]]


def parse_event(message: Msg) -> ReceivedEvent | None:
    """The event of a message; None when it is not one of ours."""
    headers = message.headers or {}
    try:
        agent = headers.get(AGENT_HEADER)
        return ReceivedEvent(
            orjson.loads(message.data),
            message.subject,
            message.data,
            headers.get(ADDRESS_HEADER),
            orjson.loads(agent) if agent else None,
        )
    except orjson.JSONDecodeError:
        return None


async def process_once(conn: Connection, effect: Handler, events: Sequence[ReceivedEvent]) -> int:
    """Lets those take effect that are new here, in a transaction; answers how many were."""
    began = time.monotonic()
    async with conn.transaction():
        rows = await conn.fetch(_FIRST_TIME, [each.id for each in events])
        new = {row["event_id"] for row in rows}
        fresh = list({each.id: each for each in events if each.id in new}.values())
        if fresh:
            await effect(conn, fresh)
    seconds = time.monotonic() - began
    for each in fresh:
        tracing.record_span("take", "CONSUMER", each.event["traceparent"], seconds, type=each.type)
    return len(fresh)


def is_transient(error: Exception) -> bool:
    """Whether the failure ends by itself: nothing is wrong with the event, no try is counted."""
    return isinstance(error, TRANSIENT) and not isinstance(error, DataError)


async def forget(conn: Connection) -> None:
    """Drops the marks of what the stream cannot send again."""
    await conn.execute(_FORGET)
