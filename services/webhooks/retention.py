"""Retention of 30 days: partitions are created ahead and dropped by a function of the owner's.

The runtime role may call it, and can neither create nor drop anything by itself.
"""

from chassis.database import Pool
from chassis.purge import delete_batch, purge
from chassis.statements import Statement
from sqlalchemy import func, select, text

from webhooks.tables import OUTCOMES, QUEUE

DROP_SECONDS = 600.0
KEEP_PARTITIONS = Statement(select(func.keep_partitions()))
# Across tenants: what is still pending has lost its event with the partition.
DELETE_EXPIRED = delete_batch(QUEUE, QUEUE.c.created_at < func.now() - text("interval '30 days'"))
DELETE_OLD_OUTCOMES = delete_batch(
    OUTCOMES, OUTCOMES.c.hour < func.now() - text("interval '30 days 1 hour'")
)


async def apply_retention(pool: Pool) -> None:
    """One round. Fails when a partition is in use for too long; then the next round does it."""
    await pool.execute(KEEP_PARTITIONS.sql, timeout=DROP_SECONDS)
    await purge(pool, DELETE_EXPIRED)
    await purge(pool, DELETE_OLD_OUTCOMES)
