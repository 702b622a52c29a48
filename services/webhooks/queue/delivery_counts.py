"""How many deliveries a webhook has, at the same cost whatever the number.

Triggers of the database (migration 0011) count them by day, type and status. Of a time within a day
the rest of that day is counted one by one.
"""

from itertools import chain, combinations

from chassis.database import TIME
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    text,
)

from webhooks.tables import DELIVERIES, DELIVERY_COUNTS

_AFTER = bindparam("created_after", type_=TIME)
_FIRST_DAY = func.date_trunc("day", _AFTER + text("interval '1 day - 1 microsecond'"), "UTC")
"""The first day that lies behind it as a whole."""
_UNTIL = bindparam("created_before", type_=TIME) + text("interval '1 microsecond'")
_LAST_DAY = func.date_trunc("day", _UNTIL, "UTC")
"""The days before this one lie before it as a whole."""
_STATUS = bindparam("status", type_=Text)
_FILTERS = ("created_after", "created_before", "event_type", "status")


def _count(names: tuple[str, ...]) -> Select[int]:
    """The number of deliveries that these filters let through."""
    counted = DELIVERY_COUNTS.c.counted
    count: ColumnElement[int] = DELIVERY_COUNTS.c.count
    whole: list[ColumnElement[bool]] = []
    if "status" in names:
        of_pending = case((counted == literal("created"), count), else_=-count)
        count = case(
            (counted == _STATUS, count), (literal("pending") == _STATUS, of_pending), else_=0
        )
    else:
        whole.append(counted == literal("created"))
    if "event_type" in names:
        whole.append(DELIVERY_COUNTS.c.event_type == func.any(bindparam("event_type")))
    if "created_after" in names:
        whole.append(DELIVERY_COUNTS.c.day >= _FIRST_DAY)
    if "created_before" in names:
        whole.append(DELIVERY_COUNTS.c.day < _LAST_DAY)
    total: ColumnElement[int] = (
        select(func.coalesce(func.sum(count), 0))
        .where(
            DELIVERY_COUNTS.c.tenant_id == bindparam("tenant_id"),
            DELIVERY_COUNTS.c.webhook_id == bindparam("webhook_id"),
            *whole,
        )
        .scalar_subquery()
    )
    if names and names[0].startswith("created_"):
        total = total + _count_parts_of_days(names).scalar_subquery()
    return select(cast(total, BigInteger))


def _count_parts_of_days(names: tuple[str, ...]) -> Select[int]:
    """Those of the days that are not asked for as a whole. With dates there are none to look at."""
    where: list[ColumnElement[bool]] = []
    is_part: list[ColumnElement[bool]] = []
    has_part: list[ColumnElement[bool]] = []
    created = DELIVERIES.c.created_at
    if "created_after" in names:
        where.append(created >= _AFTER)
        is_part.append(created < _FIRST_DAY)
        has_part.append(_AFTER != _FIRST_DAY)
    if "created_before" in names:
        where.append(created < _UNTIL)
        is_part.append(created >= _LAST_DAY)
        has_part.append(_UNTIL != _LAST_DAY)
    if "event_type" in names:
        where.append(DELIVERIES.c.event_type == func.any(bindparam("event_type")))
    if "status" in names:
        where.append(DELIVERIES.c.status == _STATUS)
    return select(func.count()).where(
        DELIVERIES.c.tenant_id == bindparam("tenant_id"),
        DELIVERIES.c.webhook_id == bindparam("webhook_id"),
        and_(*where),
        or_(*is_part),
        or_(*has_part),
    )


COUNTS = {
    names: _count(names)
    for names in chain.from_iterable(combinations(_FILTERS, n) for n in range(len(_FILTERS) + 1))
}
"""By the filters that are given, as `chassis.listing.Listing` takes them."""
