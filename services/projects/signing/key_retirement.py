"""Scheduled retirement: stores the status `retired` of keys whose grace period is over.

The key set and the lists go by `retires_at` alone, to the instant, and `signing_key.rotated` said
it ahead; so nothing waits for this step, and it records no event of its own.
"""

from chassis.database import Pool
from chassis.statements import Statement
from sqlalchemy import func, select, tuple_, update

from projects.tables import SIGNING_KEYS

BATCH = 1000

_KEY = (SIGNING_KEYS.c.tenant_id, SIGNING_KEYS.c.project_id, SIGNING_KEYS.c.id)
_due = (
    select(*_KEY)
    .where(SIGNING_KEYS.c.status == "retiring", SIGNING_KEYS.c.retires_at <= func.now())
    .order_by(SIGNING_KEYS.c.retires_at)
    .limit(BATCH)
    # A key that is being revoked at this moment is left to its revocation.
    .with_for_update(skip_locked=True)
)

# Of all tenants: a background task.
RETIRE_DUE = Statement(update(SIGNING_KEYS).where(tuple_(*_KEY).in_(_due)).values(status="retired"))


async def retire_due_keys(pool: Pool) -> int:
    """Marks every key past its grace period as retired; returns how many."""
    total = 0
    while True:
        count = await RETIRE_DUE.execute(pool)
        total += count
        if count < BATCH:
            return total
