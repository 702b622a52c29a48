"""Deletes sessions a month after their end: until then it is known what became of a late token."""

from datetime import UTC, datetime, timedelta

from chassis.database import TIME, Pool
from chassis.statements import Statement
from sqlalchemy import bindparam, delete, literal_column, select, tuple_

from identity.tables import SESSIONS

PURGE_SECONDS = 3600
KEEP = timedelta(days=30)
"""After `expires_at`, when a revoked session would have ended too."""
BATCH = 5_000

_key = (SESSIONS.c.tenant_id, SESSIONS.c.id)
# Of all tenants: whatever is old enough.
PURGE = Statement(
    delete(SESSIONS).where(
        tuple_(*_key).in_(
            select(*_key)
            .where(SESSIONS.c.expires_at < bindparam("before", type_=TIME))
            .limit(literal_column(str(BATCH)))
            .with_for_update(skip_locked=True)
        )
    )
)


async def purge_sessions(pool: Pool) -> int:
    """Deletes batch by batch, each a transaction; returns how many sessions were deleted."""
    before, deleted = datetime.now(UTC) - KEEP, 0
    while True:
        batch = await PURGE.execute(pool, before=before)
        deleted += batch
        if batch < BATCH:
            return deleted
