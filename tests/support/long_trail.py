"""Long audit trails, stored at once by the owner of the database, whom no trigger checks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from audit import chain
from audit.partitions import month_of
from audit.tables import EVENTS, EventRow
from chassis.rows import new_row
from support.owner import TRACE

PER_EVENT = timedelta(seconds=15)
_NAMES = [each.name for each in EVENTS.c]
_CREATE_HEAD = """
INSERT INTO heads (tenant_id, sequence) VALUES ($1, 0) ON CONFLICT DO NOTHING
"""
_LOCK_HEAD = "SELECT sequence, digest, filed_at FROM heads WHERE tenant_id = $1 FOR UPDATE"
_MOVE_HEAD = """
UPDATE heads SET (sequence, digest, filed_at) = (
  SELECT sequence, digest, filed_at FROM events WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1)
 WHERE tenant_id = $1
"""
_INDEXES = """
SELECT indexrelid::regclass::text FROM pg_index
 WHERE indrelid = 'events'::regclass AND NOT indisprimary
"""


async def extend_trail(url: str, tenant: str, count: int, *, indexed: bool = True) -> None:
    """Appends so many events that continue the trail. `url` names the owner.

    Not `indexed`: drops the indexes that a proof does not need, for good.
    """
    conn = await asyncpg.connect(url)
    try:
        for (index,) in () if indexed else await conn.fetch(_INDEXES):
            await conn.execute(f"DROP INDEX {index}")
        async with conn.transaction():
            await conn.execute(_CREATE_HEAD, tenant)
            head = await conn.fetchrow(_LOCK_HEAD, tenant)
            start = head["filed_at"] or datetime(2026, 1, 1, tzinfo=UTC)
            days = range((count * PER_EVENT).days + 32)
            months = sorted({month_of(start + timedelta(days=day)) for day in days})
            await conn.execute("SELECT make_partitions($1)", months)
            rows = _chained(tenant, head["sequence"], head["digest"], start, count)
            await conn.copy_records_to_table("events", records=rows, columns=_NAMES)
            await conn.execute(_MOVE_HEAD, tenant)
    finally:
        await conn.close()


def _chained(
    tenant: str, sequence: int, digest: bytes | None, start: datetime, count: int
) -> Iterator[tuple[Any, ...]]:
    for number in range(1, count + 1):
        moment = start + number * PER_EVENT
        event = new_row(
            EventRow,
            tenant_id=tenant,
            sequence=sequence + number,
            filed_at=moment,
            id=f"evt_{number:026d}",
            action="user.updated",
            resource_type="user",
            resource_id=f"usr_{number % 1000}",
            actor_type="api_key",
            actor_id="key_1",
            request_id=f"req_{number}",
            traceparent=TRACE,
            reason=None,
            changes='{"status":{"from":"active","to":"suspended"}}',
            created_at=moment,
            commitment=None,
            lateness=0,
            action_ordinal=number,
            resource_type_ordinal=number,
            actor_type_ordinal=number,
            actor_id_ordinal=number,
            resource_id_ordinal=1 + number // 1000,
        )
        digest = event.digest = chain.digest(event, digest)
        yield tuple(getattr(event, name) for name in _NAMES)
