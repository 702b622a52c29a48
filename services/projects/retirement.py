"""Scheduled retirement: what the clock made of a signing key is written down.

The key set and the lists go by `retires_at` alone, to the instant, and `signing_key.rotated` said
it ahead; so nothing waits for this step, and it records no event of its own.
"""

from chassis.database import Pool
from chassis.statements import Statement
from sqlalchemy import func, select, tuple_, update

from projects.tables import SIGNING_KEYS

BATCH = 1000

_KEY = tuple_(SIGNING_KEYS.c.tenant_id, SIGNING_KEYS.c.project_id, SIGNING_KEYS.c.id)
_due = (
    select(SIGNING_KEYS.c.tenant_id, SIGNING_KEYS.c.project_id, SIGNING_KEYS.c.id)
    .where(SIGNING_KEYS.c.status == "retiring", SIGNING_KEYS.c.retires_at <= func.now())
    .order_by(SIGNING_KEYS.c.retires_at)
    .limit(BATCH)
    # One that is just being revoked is left to its revocation.
    .with_for_update(skip_locked=True)
)

# Of all tenants: their clock is the same.
RETIRE_DUE = Statement(update(SIGNING_KEYS).where(_KEY.in_(_due)).values(status="retired"))


async def retire(pool: Pool) -> int:
    """Marks every key past its grace period as retired; answers how many."""
    retired = 0
    while True:
        async with pool.acquire() as conn:
            done = await RETIRE_DUE.execute(conn)
        retired += done
        if done < BATCH:
            return retired
