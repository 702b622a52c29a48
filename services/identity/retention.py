"""Deletes sessions a month after their end: until then it is known what became of a late token."""

from datetime import UTC, datetime, timedelta

from chassis.database import TIME, Pool
from chassis.purge import delete_batch, purge
from sqlalchemy import bindparam

from identity.tables import SESSIONS

PURGE_SECONDS = 3600
KEEP = timedelta(days=30)
"""After `expires_at`, when a revoked session would have ended too."""

PURGE = delete_batch(SESSIONS, SESSIONS.c.expires_at < bindparam("before", type_=TIME))


async def purge_sessions(pool: Pool) -> int:
    """Returns how many sessions were deleted."""
    return await purge(pool, PURGE, before=datetime.now(UTC) - KEEP)
