"""Dead letters: events whose handler failed time after time, kept for an operator.

A requeued one (`tries` is 0) is tried once more by the service itself, and stays if it fails.
"""

from collections.abc import Awaitable, Callable, Sequence

import orjson
import structlog
from asyncpg import Connection, Record

from outbox.inbox import ReceivedEvent, is_too_slow, is_transient

log = structlog.get_logger()

Process = Callable[[Connection, Sequence[ReceivedEvent]], Awaitable[int]]
"""Has events take effect once; returns how many did."""

_AT_ONCE = 100
LOOK_SECONDS = 5.0
"""The look is the query that most often meets a server that was replaced in silence."""
_ADD = """
INSERT INTO dead_letters (event_id, subject, payload, ip_address, user_agent, error, tries)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (event_id) DO UPDATE
   SET error = excluded.error, tries = excluded.tries, failed_at = now()
"""
_LIST = """
SELECT event_id, subject, error, failed_at, tries FROM dead_letters ORDER BY event_id
"""
_COUNT = "SELECT count(*) FROM dead_letters"
_REQUEUE = """
UPDATE dead_letters SET tries = 0 WHERE $1::text[] IS NULL OR event_id = ANY($1::text[])
"""
_REQUEUED = """
SELECT event_id, subject, payload, ip_address, user_agent
  FROM dead_letters WHERE tries = 0 ORDER BY event_id LIMIT $1
"""
_DELETE = "DELETE FROM dead_letters WHERE event_id = $1"
_PURGE_TENANT = """
DELETE FROM dead_letters
 WHERE position(convert_to('"tenantid":"' || $1::text || '"', 'UTF8') IN payload) > 0
"""


async def list_all(conn: Connection) -> list[Record]:
    """`event_id, subject, error, failed_at, tries` of each, oldest event first."""
    return list(await conn.fetch(_LIST))


async def count(conn: Connection) -> int:
    """The number of dead letters."""
    return int(await conn.fetchval(_COUNT))


async def requeue(conn: Connection, event_ids: Sequence[str] | None) -> int:
    """Has these (None: all) tried again within seconds; returns how many of them there are."""
    status: str = await conn.execute(_REQUEUE, None if event_ids is None else list(event_ids))
    return int(status.rpartition(" ")[2])


async def add(conn: Connection, event: ReceivedEvent, error: Exception, tries: int) -> None:
    """Stores an event that is given up, with the kind of the last error."""
    values = (event.id, event.subject, event.payload, event.ip_address, event.user_agent)
    await conn.execute(_ADD, *values, type(error).__name__, tries)


async def purge_tenant(conn: Connection, tenant_id: str) -> None:
    """Deletes those of a tenant that is erased: no event of it has an effect any more."""
    await conn.execute(_PURGE_TENANT, tenant_id)


async def retry_requeued(conn: Connection, process: Process) -> int:
    """Tries each requeued event by itself; returns how many took effect.

    Raises transient errors.
    """
    done = 0
    for row in await conn.fetch(_REQUEUED, _AT_ONCE, timeout=LOOK_SECONDS):
        event = ReceivedEvent(
            orjson.loads(row["payload"]),
            row["subject"],
            row["payload"],
            row["ip_address"],
            row["user_agent"],
        )
        try:
            async with conn.transaction():
                done += await process(conn, [event])
                await conn.execute(_DELETE, event.id)
        except Exception as error:
            if not await is_too_slow(conn, error) and is_transient(error):
                raise
            log.exception("requeued_event_failed", event_id=event.id, type=event.type)
            await add(conn, event, error, 1)
    return done
