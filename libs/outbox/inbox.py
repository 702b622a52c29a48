"""The inbox: every event takes effect once, however often the stream sends it.

A batch, its effect and its marks are one transaction, acked afterwards. When a batch fails its
events are tried one by one, so that a poison event stops nobody; after MAX_TRIES it is a dead
letter.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
import orjson
import structlog
from asyncpg import Connection, Pool
from contracts.context import Context
from contracts.events import ADDRESS_HEADER, AGENT_HEADER, STREAM
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.annotations import NatsMessage
from nats.aio.msg import Msg
from nats.js.api import ConsumerInfo

log = structlog.get_logger()

BATCH = 256
WAIT_SECONDS = 0.1
MAX_TRIES = 5
RETRY_SECONDS = (1, 5, 15, 30)
KEEP_MARKS = "8 days"
"""A day longer than the stream keeps its messages."""

_FIRST_TIME = """
INSERT INTO inbox (event_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING event_id
"""
_GIVE_UP = """
INSERT INTO dead_letters (event_id, subject, payload, ip_address, user_agent, error, tries)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (event_id) DO NOTHING
"""
_FORGET = f"DELETE FROM inbox WHERE heard_at < now() - interval '{KEEP_MARKS}'"

# The database is away: nothing is wrong with the event, so no try is counted against it.
_AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class Heard:
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


Effect = Callable[[Connection, Sequence[Heard]], Awaitable[None]]


class Inbox:
    """What one service hears. `consumed` and `given_up` are told how many events."""

    def __init__(
        self,
        service: str,
        pool: Pool,
        effect: Effect,
        consumed: Callable[[int], None] = lambda _: None,
        given_up: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._service = service
        self._pool = pool
        self._effect = effect
        self._consumed = consumed
        self._given_up = given_up

    def subscribe(self, broker: NatsBroker, *, after: Callable[[], None] = lambda: None) -> None:
        """Hears the service's durable consumer; `after` is called when effects are committed."""

        @broker.subscriber(
            stream=JStream(STREAM, declare=False),
            subject=">",
            durable=self._service,
            pull_sub=PullSub(batch_size=BATCH, batch=True, timeout=WAIT_SECONDS),
            ack_policy=AckPolicy.MANUAL,
            inbox_prefix=f"_INBOX_{self._service}.".encode(),
            title=f"{self._service}-events",
        )
        async def hear(msg: NatsMessage) -> None:
            await self._hear(cast("list[Msg]", msg.raw_message))
            after()

    async def forget(self) -> None:
        """Marks are kept a day longer than the stream keeps its messages."""
        async with self._pool.acquire() as conn:
            await conn.execute(_FORGET)

    async def consumer(self, broker: NatsBroker) -> ConsumerInfo:
        """The durable consumer as the server has it. Raises when it is gone."""
        js = broker.connection.jetstream(timeout=1)
        info: ConsumerInfo = await js.consumer_info(STREAM, self._service)
        return info

    async def _hear(self, messages: list[Msg]) -> None:
        heard = [(message, _heard(message)) for message in messages]
        known = [(message, each) for message, each in heard if each is not None]
        for message, each in heard:
            if each is None:
                log.error("event_unreadable", subject=message.subject)
                await message.term()
        try:
            await self._take([each for _, each in known])
        except _AWAY as error:
            log.warning("inbox_waits", error=type(error).__name__, events=len(known))
            for message, _ in known:
                await message.nak(delay=RETRY_SECONDS[0])
            return
        except Exception:  # noqa: BLE001 - one of them is poison: find it
            for message, each in known:
                await self._one(message, each)
            return
        for message, _ in known:
            await message.ack()

    async def _take(self, events: Sequence[Heard]) -> None:
        async with self._pool.acquire() as conn, conn.transaction():
            rows = await conn.fetch(_FIRST_TIME, [each.id for each in events])
            first = {row["event_id"] for row in rows}
            fresh = list({each.id: each for each in events if each.id in first}.values())
            if fresh:
                await self._effect(conn, fresh)
        self._consumed(len(fresh))

    async def _one(self, message: Msg, each: Heard) -> None:
        try:
            await self._take([each])
        except _AWAY:
            await message.nak(delay=RETRY_SECONDS[0])
            return
        except Exception as error:
            tries = message.metadata.num_delivered or 1
            log.exception("event_failed", event_id=each.id, type=each.type, tries=tries)
            if tries < MAX_TRIES:
                await message.nak(delay=RETRY_SECONDS[min(tries, len(RETRY_SECONDS)) - 1])
                return
            await self._give_up(each, type(error).__name__, tries)
        await message.ack()

    async def _give_up(self, each: Heard, error: str, tries: int) -> None:
        async with self._pool.acquire() as conn:
            await conn.execute(
                _GIVE_UP,
                each.id,
                each.subject,
                each.payload,
                each.ip_address,
                each.user_agent,
                error,
                tries,
            )
        self._given_up(1)


def _heard(message: Msg) -> Heard | None:
    headers = message.headers or {}
    try:
        agent = headers.get(AGENT_HEADER)
        return Heard(
            orjson.loads(message.data),
            message.subject,
            message.data,
            headers.get(ADDRESS_HEADER),
            orjson.loads(agent) if agent else None,
        )
    except orjson.JSONDecodeError:
        return None
