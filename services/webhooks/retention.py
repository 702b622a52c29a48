"""Thirty days: partitions are made ahead and dropped whole by functions of the owner's.

The runtime role may call them, and neither create nor drop anything by itself.
"""

from chassis.database import Pool
from chassis.statements import Statement
from sqlalchemy import delete, func, select, text

from webhooks.tables import QUEUE

KEEP_PARTITIONS = Statement(select(func.keep_partitions()))
# Across tenants: what is still pending has lost its event with the partition.
DROP_EXPIRED = Statement(
    delete(QUEUE).where(QUEUE.c.created_at < func.now() - text("interval '30 days'"))
)


async def keep(pool: Pool) -> None:
    """One round; fails when a partition is in use for too long, then the next round does it."""
    async with pool.acquire() as conn:
        await KEEP_PARTITIONS.fetch_value(conn)
        await DROP_EXPIRED.execute(conn)
