"""The relay: publishes what was recorded, in order, and marks it when the stream has it.

One is active per service, whatever the number of replicas (advisory lock). Woken after each commit,
polling as a fallback. The message id is the event id, so a repeat within two minutes is dropped by
the stream, and later ones by the consumers' inbox. Rows stay a day after the ack.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import orjson
import structlog
from contracts.events import ADDRESS_HEADER, AGENT_HEADER, CONTENT_TYPE, STREAM
from nats.aio.client import Client
from nats.errors import Error as NatsError

log = structlog.get_logger()

LOCK = 5_021_977_315
BATCH = 500
POLL_SECONDS = 0.2
STANDBY_SECONDS = 1.0
ACK_SECONDS = 5.0
KEEP = "1 day"

_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_NEXT = """
SELECT position, event_id, subject, payload, ip_address, user_agent
  FROM outbox WHERE published_at IS NULL ORDER BY position LIMIT $1
"""
_MARK = "UPDATE outbox SET published_at = now() WHERE position = ANY($1::bigint[])"
_FORGET = """
DELETE FROM outbox WHERE position IN (
  SELECT position FROM outbox WHERE published_at < now() - $1::text::interval LIMIT 5000)
"""
_OLDEST = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8
  FROM outbox WHERE published_at IS NULL
"""


# What ends by itself when a server is back.
_PASSING = (OSError, TimeoutError, NatsError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Relay:
    """Publishes one service's outbox. `published` is told how many events were acknowledged."""

    def __init__(self, database_url: str, nats: Client, published: Callable[[int], None]) -> None:
        self._url = database_url
        self._nats = nats
        self._js = nats.jetstream(timeout=ACK_SECONDS)
        self._published = published
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may have been recorded."""
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled; whatever fails, it begins again on a fresh connection."""
        while True:
            try:
                await self._lead()
            except _PASSING as error:
                log.warning("relay_interrupted", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)

    async def _lead(self) -> None:
        """Waits for the lock, then publishes as long as the connection that holds it lives."""
        conn = await asyncpg.connect(self._url, timeout=2, command_timeout=10)
        try:
            while not await conn.fetchval(_TRY_LOCK, LOCK):  # noqa: ASYNC110 - held elsewhere
                await asyncio.sleep(STANDBY_SECONDS)
            log.info("relay_leads")
            forget_at = time.monotonic()
            while True:
                self._woken.clear()
                more = self._nats.is_connected and await self._publish_next(conn)
                if time.monotonic() >= forget_at:
                    await conn.execute(_FORGET, KEEP)
                    forget_at = time.monotonic() + 60
                if not more:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
        finally:
            conn.terminate()

    async def _publish_next(self, conn: asyncpg.Connection) -> bool:
        """One batch; answers whether there may be more at once."""
        rows = await conn.fetch(_NEXT, BATCH)
        if not rows:
            return False
        acks = [await self._send(row) for row in rows]
        await asyncio.wait(acks, timeout=ACK_SECONDS)
        # What stands behind a failure is sent again with it, so that the order holds.
        done = []
        for row, ack in zip(rows, acks, strict=True):
            if not ack.done() or ack.cancelled() or ack.exception() is not None:
                break
            done.append(row["position"])
        for ack in acks:
            if not ack.done():
                ack.cancel()
        if done:
            await conn.execute(_MARK, done)
            self._published(len(done))
        if len(done) < len(rows):
            log.warning("relay_waits", unpublished=len(rows) - len(done))
            await asyncio.sleep(POLL_SECONDS)
        return len(rows) == BATCH and len(done) == BATCH

    async def _send(self, row: asyncpg.Record) -> "asyncio.Future[Any]":
        headers = {"Nats-Msg-Id": row["event_id"], "Content-Type": CONTENT_TYPE}
        if row["ip_address"]:
            headers[ADDRESS_HEADER] = row["ip_address"]
        if row["user_agent"]:
            headers[AGENT_HEADER] = orjson.dumps(row["user_agent"]).decode()
        return await self._js.publish_async(
            row["subject"], row["payload"], stream=STREAM, headers=headers
        )


async def oldest_unpublished(conn: asyncpg.Connection) -> float:
    """The age in seconds of the oldest event that is not published; 0 when there is none."""
    return float(await conn.fetchval(_OLDEST))
