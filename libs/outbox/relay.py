"""The relay: publishes the outbox in order, and marks what the stream has acknowledged.

One replica of a service publishes at a time (advisory lock). It is woken after each commit, of
another replica by a notification; it polls for what nobody has told. The message id is the event
id: the stream drops a repeat within two minutes, the consumers' inbox drops later ones. Rows stay a
day after the ack.

Its connection to NATS does not outlive a break: one that reconnects sends what it has buffered
before what the break swallowed, and events of one resource change places. Many publishes are under
way at once, which FastStream's publisher, awaiting each ack, does not offer (ADR 4).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import asyncpg
import orjson
import structlog
from chassis import database, tracing
from chassis.database import UNAVAILABLE
from chassis.nats_client import NatsClient, connect
from contracts.events import ADDRESS_HEADER, AGENT_HEADER, CONTENT_TYPE
from contracts.personal_data import erased_people
from contracts.topology import STREAM, Lock
from contracts.users import UserDeleted
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError

from outbox.pace import Pace
from outbox.person_erasure import erase_from_outbox

log = structlog.get_logger()

USER_DELETED = UserDeleted.subject()

BATCH = 500
POLL_SECONDS = 0.2
IDLE_SECONDS = 5.0
"""So long a poll becomes where nothing is recorded: who records something wakes the relay."""
CHANNEL = "outbox_recorded"
BATCH_SECONDS = 0.02
"""For each batch under load: see `Pace`."""
STANDBY_SECONDS = 1.0
ACK_SECONDS = 5.0
KEEP = "1 day"
PURGED = 5_000
"""Rows at once; and again before the next batch, as long as there are so many."""
PURGE_SECONDS = 60.0

_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_LIST = """
SELECT position, event_id, tenant_id, subject, payload, ip_address, user_agent
  FROM outbox WHERE published_at IS NULL ORDER BY position LIMIT $1
"""
_MARK = "UPDATE outbox SET published_at = now() WHERE position = ANY($1::bigint[])"
_PURGE = f"""
DELETE FROM outbox WHERE position IN (
  SELECT position FROM outbox WHERE published_at < now() - interval '{KEEP}' LIMIT {PURGED})
"""
_OLDEST = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8
  FROM outbox WHERE published_at IS NULL
"""


_TRANSIENT = (*UNAVAILABLE, asyncpg.PostgresError, NatsError)


class Relay:
    """Publishes the outbox of one service.

    `on_published` is called with how many events were acknowledged.
    """

    def __init__(
        self, database_url: str, nats_url: str, on_published: Callable[[int], None]
    ) -> None:
        self._database_url = database_url
        self._nats_url = nats_url
        self._on_published = on_published
        self._woken = asyncio.Event()
        self._pace = Pace(BATCH_SECONDS)
        self._acks: list[asyncio.Future[Msg]] = []

    def wake(self) -> None:
        """Something may have been recorded."""
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled; after a transient error it begins again on new connections."""
        while True:
            try:
                await self._lead()
            except _TRANSIENT as error:
                log.warning("relay_interrupted", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)

    async def _lead(self) -> None:
        """Waits for the lock, then publishes as long as the connection that holds it lives."""
        conn = await database.connect(self._database_url, timeout=2, command_timeout=10)
        try:
            while not await conn.fetchval(_TRY_LOCK, Lock.RELAY):
                await self._tell_leader(conn)
            await conn.add_listener(CHANNEL, lambda *_: self.wake())
            nats = await connect(self._nats_url, on_close=self._cancel_acks, reconnects=False)
            log.info("relay_leads")
            try:
                await self._publish_on(conn, nats)
            finally:
                await nats.close()
        finally:
            conn.terminate()

    async def _tell_leader(self, conn: asyncpg.Connection) -> None:
        """Notifies it when something was recorded here; returns after STANDBY_SECONDS at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STANDBY_SECONDS):
                await self._woken.wait()
        if self._woken.is_set():
            self._woken.clear()
            await conn.execute(f"NOTIFY {CHANNEL}")
            await asyncio.sleep(self._pace.pause())

    def _cancel_acks(self) -> None:
        """The connection is closed: no ack will come any more."""
        for ack in self._acks:
            ack.cancel()

    async def _publish_on(self, conn: asyncpg.Connection, nats: NatsClient) -> None:
        purge_at, poll = time.monotonic(), POLL_SECONDS
        while True:
            self._woken.clear()
            count = await self._publish_next(conn, nats)
            poll = POLL_SECONDS if count else min(poll * 2, IDLE_SECONDS)
            if time.monotonic() >= purge_at:
                more_to_purge = await conn.execute(_PURGE) == f"DELETE {PURGED}"
                purge_at = time.monotonic() + (0 if more_to_purge else PURGE_SECONDS)
            if count < BATCH:
                await asyncio.sleep(self._pace.pause())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(poll):
                        await self._woken.wait()

    async def _publish_next(self, conn: asyncpg.Connection, nats: NatsClient) -> int:
        """Publishes a batch; returns how many events it had. Raises when not all was acked."""
        rows = await conn.fetch(_LIST, BATCH)
        if not rows:
            return 0
        began = time.monotonic()
        self._acks = [await _send(nats, row) for row in rows]
        await asyncio.wait(self._acks, timeout=ACK_SECONDS)
        failed = [number for number, ack in enumerate(self._acks) if not _is_acked(ack)]
        # What stands behind a failure is published again with it, so that the order holds.
        done = [row["position"] for row in rows[: failed[0] if failed else None]]
        if done:
            for row in rows[: len(done)]:
                if row["subject"] == USER_DELETED:
                    people = erased_people(orjson.loads(row["payload"])["data"])
                    await erase_from_outbox(conn, row["tenant_id"], people)
            await conn.execute(_MARK, done)
            self._on_published(len(done))
            _trace(rows[: len(done)], time.monotonic() - began)
        if failed:
            self._cancel_acks()
            raise ConnectionClosedError
        return len(rows)


def _trace(rows: Sequence[asyncpg.Record], seconds: float) -> None:
    if tracing.is_enabled():
        for row in rows:
            event = orjson.loads(row["payload"])
            tracing.record_span(
                "publish", "PRODUCER", event["traceparent"], seconds, type=event["type"]
            )


def _is_acked(ack: "asyncio.Future[Msg]") -> bool:
    """Whether the stream has the event, as a PubAck says (ADR-22 of NATS)."""
    if not ack.done() or ack.cancelled() or ack.exception() is not None:
        return False
    answer = orjson.loads(ack.result().data)
    return "error" not in answer and answer.get("stream") == STREAM


async def _send(nats: NatsClient, row: asyncpg.Record) -> "asyncio.Future[Msg]":
    headers = {
        "Nats-Msg-Id": row["event_id"],
        "Nats-Expected-Stream": STREAM,
        "Content-Type": CONTENT_TYPE,
    }
    if row["ip_address"]:
        headers[ADDRESS_HEADER] = row["ip_address"]
    if row["user_agent"]:
        headers[AGENT_HEADER] = orjson.dumps(row["user_agent"]).decode()
    return await nats.publish_request(row["subject"], row["payload"], headers)


async def oldest_unpublished(conn: asyncpg.Connection) -> float:
    """The age in seconds of the oldest event that is not published; 0 when there is none."""
    return float(await conn.fetchval(_OLDEST))
