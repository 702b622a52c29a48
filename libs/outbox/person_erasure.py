"""Erases a person from the outbox and from dead letters: only identifiers stay.

The relay does it when it publishes `user.deleted`, before it marks that as published, so that a
crash repeats it. Publishing again then brings nothing back.
"""

from collections.abc import Sequence

import orjson
from asyncpg import Connection
from contracts.personal_data import without_personal_data

BATCH = 500

_LIST = """
SELECT position, payload, ip_address, user_agent FROM outbox
 WHERE tenant_id = $1 AND person_id = ANY($2::text[]) AND position > $3
 ORDER BY position LIMIT $4
"""
_UPDATE = """
UPDATE outbox SET payload = new.payload, ip_address = new.ip_address, user_agent = new.user_agent
  FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[])
       AS new (position, payload, ip_address, user_agent)
 WHERE outbox.position = new.position
"""
_LIST_DEAD_LETTERS = """
SELECT event_id, payload, ip_address, user_agent FROM dead_letters
 WHERE position(convert_to('"tenantid":"' || $1::text || '"', 'UTF8') IN payload) > 0
   AND position(convert_to($2::text, 'UTF8') IN payload) > 0
"""
_UPDATE_DEAD_LETTER = """
UPDATE dead_letters SET payload = $2, ip_address = $3, user_agent = $4 WHERE event_id = $1
"""

_Row = tuple[bytes, str | None, str | None]


async def erase_from_outbox(conn: Connection, tenant_id: str, people: Sequence[str]) -> None:
    """Erases some rows at a time, each batch in a transaction of its own."""
    after = 0
    while rows := await conn.fetch(_LIST, tenant_id, people, after, BATCH):
        erased = [
            _erase(row["payload"], row["ip_address"], row["user_agent"], people) for row in rows
        ]
        payloads, addresses, agents = zip(*erased, strict=True)
        positions = [row["position"] for row in rows]
        await conn.execute(_UPDATE, positions, payloads, addresses, agents)
        after = positions[-1]


async def erase_from_dead_letters(conn: Connection, tenant_id: str, person_id: str) -> None:
    """In the caller's transaction: there are few, and none when all is well."""
    for row in await conn.fetch(_LIST_DEAD_LETTERS, tenant_id, person_id):
        erased = _erase(row["payload"], row["ip_address"], row["user_agent"], [person_id])
        await conn.execute(_UPDATE_DEAD_LETTER, row["event_id"], *erased)


def _erase(payload: bytes, address: str | None, agent: str | None, people: Sequence[str]) -> _Row:
    """Address and agent stay, unless they are the erased person's own."""
    event = without_personal_data(orjson.loads(payload))
    if event["actorid"] in people:
        address = agent = None
    return orjson.dumps(event), address, agent
