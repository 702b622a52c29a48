"""Retention of 30 days: partitions are created ahead and dropped by a function of the owner's.

The runtime role may call it, and can neither create nor drop anything by itself.
"""

from chassis.database import Pool
from chassis.statements import Statement
from sqlalchemy import delete, func, select, text

from webhooks.tables import OUTCOMES, QUEUE

KEEP_PARTITIONS = Statement(select(func.keep_partitions()))
# Across tenants: what is still pending has lost its event with the partition.
DELETE_EXPIRED = Statement(
    delete(QUEUE).where(QUEUE.c.created_at < func.now() - text("interval '30 days'"))
)
DELETE_OLD_OUTCOMES = Statement(
    delete(OUTCOMES).where(OUTCOMES.c.hour < func.now() - text("interval '30 days 1 hour'"))
)


async def apply_retention(pool: Pool) -> None:
    """One round. Fails when a partition is in use for too long; then the next round does it."""
    async with pool.acquire() as conn:
        await KEEP_PARTITIONS.fetch_value(conn)
        await DELETE_EXPIRED.execute(conn)
        await DELETE_OLD_OUTCOMES.execute(conn)
