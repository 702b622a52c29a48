"""How many users and organizations a tenant has, at the same cost whatever the answer.

The database keeps it up by triggers (migration 0003): every statement that changes it adds the
difference as a row of its own, so that no writer waits for another. The sum is exact at any moment.
"""

from chassis.database import Pool
from chassis.statements import Statement
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    select,
)

from identity.tables import TALLIES

FOLD_SECONDS = 1.0
AT_ONCE = 5_000
TURN = 5_021_977_319
FOLD = Statement(
    select(func.fold_tallies(bindparam("at_most"))).where(
        func.pg_try_advisory_xact_lock(literal_column(str(TURN)))
    )
)
"""One replica at a time: two would leave a row each, until the next difference comes."""

USERS = TALLIES.c.what.in_([literal("user:active"), literal("user:suspended")])
USERS_OF_STATUS = TALLIES.c.what == literal("user:").concat(bindparam("status"))
ORGANIZATIONS = TALLIES.c.what == literal("organization")


def total(what: ColumnElement[bool]) -> Select[int]:
    """The sum of the tenant's rows under that condition."""
    count = cast(func.coalesce(func.sum(TALLIES.c.count), 0), BigInteger)
    return select(count).where(TALLIES.c.tenant_id == bindparam("tenant_id"), what)


async def fold(pool: Pool) -> None:
    """Makes one row of each tenant's new ones and its old one."""
    async with pool.acquire() as conn:
        await FOLD.fetch_value(conn, at_most=AT_ONCE)
