"""Dead letters: events whose effect failed time after time, kept for an operator.

A requeued one (`tries` is 0) is tried once more by the service itself, and stays if it fails.
"""

from collections.abc import Sequence

import orjson
import structlog
from asyncpg import Connection, Record

from outbox.inbox import Handler, ReceivedEvent, is_transient, process_once

log = structlog.get_logger()

_AT_ONCE = 100
_KEEP = """
INSERT INTO dead_letters (event_id, subject, payload, ip_address, user_agent, error, tries)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (event_id) DO UPDATE
   SET error = excluded.error, tries = excluded.tries, failed_at = now()
"""
_ALL = """
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
_DONE = "DELETE FROM dead_letters WHERE event_id = $1"
_FORGET = """
DELETE FROM dead_letters
 WHERE position(convert_to('"tenantid":"' || $1::text || '"', 'UTF8') IN payload) > 0
"""


async def find_all(conn: Connection) -> list[Record]:
    """`event_id, subject, error, failed_at, tries` of each, oldest event first."""
    return list(await conn.fetch(_ALL))


async def count(conn: Connection) -> int:
    """How many there are."""
    return int(await conn.fetchval(_COUNT))


async def requeue(conn: Connection, event_ids: Sequence[str] | None) -> int:
    """Has these (None: all) tried again within seconds; answers how many there are of them."""
    status: str = await conn.execute(_REQUEUE, None if event_ids is None else list(event_ids))
    return int(status.rpartition(" ")[2])


async def keep(conn: Connection, each: ReceivedEvent, error: Exception, tries: int) -> None:
    """Gives the event up."""
    values = (each.id, each.subject, each.payload, each.ip_address, each.user_agent)
    await conn.execute(_KEEP, *values, type(error).__name__, tries)


async def purge_tenant(conn: Connection, tenant_id: str) -> None:
    """Drops those of a tenant that is erased: what it is told is ignored for good."""
    await conn.execute(_FORGET, tenant_id)


async def try_requeued(conn: Connection, effect: Handler) -> int:
    """Tries each requeued event by itself; answers how many took effect. Raises what passes."""
    done = 0
    for row in await conn.fetch(_REQUEUED, _AT_ONCE):
        each = ReceivedEvent(
            orjson.loads(row["payload"]),
            row["subject"],
            row["payload"],
            row["ip_address"],
            row["user_agent"],
        )
        try:
            async with conn.transaction():
                done += await process_once(conn, effect, [each])
                await conn.execute(_DONE, each.id)
        except Exception as error:
            if is_transient(error):
                raise
            log.exception("requeued_event_failed", event_id=each.id, type=each.type)
            await keep(conn, each, error, 1)
    return done
