"""Sessions that ended are forgotten: a while is enough to say of a late token what became of it."""

from datetime import UTC, datetime, timedelta

from chassis.database import TIME, Pool
from chassis.statements import Statement
from sqlalchemy import bindparam, delete, literal_column, select, tuple_

from identity.tables import SESSIONS

KEPT = timedelta(days=30)
"""After its end; a revoked session would have ended by itself at that time."""
STEP = 5_000

_key = (SESSIONS.c.tenant_id, SESSIONS.c.id)
# Of no tenant: whatever is old enough.
PURGE = Statement(
    delete(SESSIONS).where(
        tuple_(*_key).in_(
            select(*_key)
            .where(SESSIONS.c.expires_at < bindparam("before", type_=TIME))
            .limit(literal_column(str(STEP)))
            .with_for_update(skip_locked=True)
        )
    )
)


async def purge(pool: Pool) -> int:
    """Some rows at a time, each step a transaction; answers how many there were."""
    before, gone = datetime.now(UTC) - KEPT, 0
    while True:
        async with pool.acquire() as conn:
            step = await PURGE.execute(conn, before=before)
        gone += step
        if step < STEP:
            return gone
