"""How many users, organizations, members and invitations there are, at a cost that does not grow.

Triggers of the database (migrations 0003, 0016) add a row with the difference for every statement
that changes a number, so that no writer waits for another. The sum of the rows is exact at any
moment. The count of members stands in the organization's row.

Users are counted by blocks of their identifiers too, for pages by number (migration 0015).
"""

from chassis.database import Pool
from chassis.statements import Statement
from contracts.topology import Lock
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    intersect_all,
    literal,
    literal_column,
    select,
)

from identity.cascades import MEMBER_COUNT
from identity.tables import COUNTERS, MEMBERS, ORGANIZATIONS, USERS

FOLD_SECONDS = 1.0
BATCH = 5_000
FOLD = Statement(
    select(func.fold_tallies(bindparam("at_most"))).where(
        func.pg_try_advisory_xact_lock(literal_column(str(Lock.FOLD_COUNTERS.value)))
    )
)
"""One replica at a time: two would leave a row each, until the next difference comes."""


def _sum(condition: ColumnElement[bool]) -> Select[int]:
    """The sum of the tenant's rows that meet the condition."""
    count = cast(func.coalesce(func.sum(COUNTERS.c.count), 0), BigInteger)
    return select(count).where(COUNTERS.c.tenant_id == bindparam("tenant_id"), condition)


# Of integers, so that the sum is a bigint.
_whole = func.sum(cast(COUNTERS.c.count, Integer))
_USERS = [literal("user:active"), literal("user:suspended")]
COUNT_USERS = _sum(COUNTERS.c.what.in_(_USERS))
COUNT_USERS_BY_STATUS = _sum(COUNTERS.c.what == literal("user:").concat(bindparam("status")))
COUNT_ORGANIZATIONS = _sum(COUNTERS.c.what == literal("organization"))


def count_invitations(*statuses: str) -> Select[int]:
    """How many of an organization are stored with one of the statuses."""
    organization = literal("invitation:").concat(bindparam("organization_id", type_=Text))
    return _sum(COUNTERS.c.what.in_([organization.concat(f":{status}") for status in statuses]))


_placed = (
    select(
        COUNTERS.c.block.label("key"),
        (COUNTERS.c.what == literal_column("'users'")).label("begins"),
        _whole.over(order_by=COUNTERS.c.block.desc()).label("number"),
        _whole.over().label("total"),
    )
    .where(
        COUNTERS.c.tenant_id == bindparam("tenant_id"),
        COUNTERS.c.what.in_([*_USERS, literal("users")]),
        COUNTERS.c.block.is_not(None),
    )
    .subquery("placed")
)
USER_BLOCKS = select(_placed.c.key, _placed.c.number, _placed.c.total).where(_placed.c.begins)
"""As `chassis.block_offset` wants them. What is not folded yet counts for the blocks before it."""
COUNT_MEMBERS = select(MEMBER_COUNT).where(
    ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
    ORGANIZATIONS.c.id == bindparam("organization_id"),
)
# By hash or in order, as long as the two indexes are: a join may be planned as a look-up for each.
_suspended = (
    select(func.count())
    .select_from(
        intersect_all(
            select(USERS.c.id)
            .where(
                USERS.c.tenant_id == bindparam("tenant_id"),
                USERS.c.status == literal_column("'suspended'"),
            )
            .correlate(None),
            select(MEMBERS.c.user_id)
            .where(
                MEMBERS.c.tenant_id == bindparam("tenant_id"),
                MEMBERS.c.organization_id == bindparam("organization_id"),
            )
            .correlate(None),
        ).subquery("suspended")
    )
    .scalar_subquery()
)
COUNT_MEMBERS_BY_STATUS = select(
    case(
        (bindparam("status", type_=Text) == literal("active"), MEMBER_COUNT.element - _suspended),
        else_=_suspended,
    )
).where(
    ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
    ORGANIZATIONS.c.id == bindparam("organization_id"),
)
"""Two indexes are read: that of the suspended users, and that of the members."""


async def fold(pool: Pool) -> None:
    """Replaces the new rows of each counter and its old one by their sum."""
    await FOLD.fetch_value(pool, at_most=BATCH)
