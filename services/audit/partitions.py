"""The months of the log: made ahead of time, and dropped when retention says so.

Both are done by functions of the owner (in the migration): the runtime role may not. A batch makes
the months that it needs itself; those made ahead only save it the wait.
"""

from datetime import UTC, date, datetime, timedelta

import structlog
from chassis.database import TIME, Pool
from chassis.statements import Statement
from sqlalchemy import bindparam, func, select

from audit.log import MAKE_PARTITIONS, month_of

log = structlog.get_logger()

AHEAD = 2
"""Months."""
DROP_SECONDS = 600.0
DROP_PARTITIONS = Statement(select(func.drop_partitions(bindparam("before", type_=TIME))))


async def make_ahead(pool: Pool, now: datetime | None = None) -> None:
    """The month that it is, and the next ones."""
    months = [month_of(now or datetime.now(UTC))]
    for _ in range(AHEAD):
        months.append(next_month(months[-1]))
    async with pool.acquire() as conn:
        await MAKE_PARTITIONS.fetch_value(conn, months=months)


async def drop_old(pool: Pool, days: int, now: datetime | None = None) -> int:
    """Drops whole months in which every event is older than `days`; answers how many."""
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    async with pool.acquire() as conn:
        arguments = DROP_PARTITIONS.arguments({"before": before})
        dropped: int = await conn.fetchval(DROP_PARTITIONS.sql, *arguments, timeout=DROP_SECONDS)
    if dropped:
        log.info("partitions_dropped", months=dropped, before=before.isoformat())
    return dropped


def next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
