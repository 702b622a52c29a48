"""The monthly partitions of the log: created ahead, and dropped when retention says so.

Both are done by functions of the owner (in the migration): the runtime role may not. A batch
creates the months that it needs itself; those created ahead only save it the wait.
"""

from datetime import UTC, date, datetime, timedelta

import asyncpg
import structlog
from chassis.database import TIME, Pool
from chassis.statements import Statement
from sqlalchemy import ARRAY, Date, bindparam, func, select

log = structlog.get_logger()

MONTHS_AHEAD = 2
DROP_SECONDS = 600.0
CREATE_PARTITIONS = Statement(select(func.make_partitions(bindparam("months", type_=ARRAY(Date)))))
DROP_PARTITIONS = Statement(select(func.drop_partitions(bindparam("before", type_=TIME))))


async def create_ahead(pool: Pool, now: datetime | None = None) -> None:
    """The current month and the next ones."""
    months = [month_of(now or datetime.now(UTC))]
    for _ in range(MONTHS_AHEAD):
        months.append(next_month(months[-1]))
    await CREATE_PARTITIONS.fetch_value(pool, months=months)


async def drop_expired(pool: Pool, days: int, now: datetime | None = None) -> int:
    """Drops whole months in which every event is older than `days`; returns how many.

    Raises asyncpg.InsufficientPrivilegeError: the database keeps events for longer, or for ever.
    """
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    arguments = DROP_PARTITIONS.arguments({"before": before})
    dropped = 0
    try:
        while await pool.fetchval(DROP_PARTITIONS.sql, *arguments, timeout=DROP_SECONDS):
            dropped += 1
    except asyncpg.InsufficientPrivilegeError as error:
        log.warning("partitions_not_dropped", reason=str(error), before=before.isoformat())
        raise
    if dropped:
        log.info("partitions_dropped", months=dropped, before=before.isoformat())
    return dropped


def month_of(moment: datetime) -> date:
    """The first day of its month, which names its partition."""
    return moment.date().replace(day=1)


def next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
