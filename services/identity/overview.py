"""How many users, live sessions and organizations a tenant has, at the same cost whatever the
number. Live sessions are counted up to a bound: they end by time alone, which no counter notices.
"""

from datetime import UTC, datetime
from typing import Any

from chassis.database import TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement, any_of
from chassis.unit_of_work import read_only
from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    select,
)
from sqlmodel import SQLModel

from identity.cascades import CASCADES, DELETED_USERS, IS_SESSION_ENDED
from identity.counters import COUNT_ORGANIZATIONS, COUNT_USERS, COUNT_USERS_BY_STATUS
from identity.tables import SESSIONS

MAX_SESSIONS = 10_000
"""Live sessions are counted so far and no further."""


class Counts(SQLModel):
    users: int
    users_of_status: int
    live_sessions: int


_IS_STORED_LIVE = (
    SESSIONS.c.tenant_id == bindparam("tenant_id"),
    SESSIONS.c.status == literal_column("'active'"),
    SESSIONS.c.expires_at > bindparam("now", type_=TIME),
)


def _count_to_bound(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    """How many sessions meet them, but no more than MAX_SESSIONS + 1."""
    some: Select[Any] = select(literal_column("1")).select_from(SESSIONS).where(*conditions)
    bounded = some.limit(literal_column(str(MAX_SESSIONS + 1))).subquery("some")
    return select(func.count()).select_from(bounded).scalar_subquery()


_live = case(
    # Hardly ever: then each session is looked up.
    (
        exists().where(CASCADES.c.tenant_id == bindparam("tenant_id")),
        _count_to_bound(
            *_IS_STORED_LIVE,
            not_(IS_SESSION_ENDED),
            not_(SESSIONS.c.user_id == any_of(DELETED_USERS)),
        ),
    ),
    else_=_count_to_bound(*_IS_STORED_LIVE),
)
COUNT_ALL = Statement(
    select(
        COUNT_USERS.scalar_subquery().label("users"),
        COUNT_USERS_BY_STATUS.scalar_subquery().label("users_of_status"),
        _live.label("live_sessions"),
    ),
    Counts,
)
COUNT_ALL_ORGANIZATIONS = Statement(COUNT_ORGANIZATIONS)


@read_only()
async def get_users_overview(conn: Connection, request: Request) -> Reply:
    counts = await COUNT_ALL.fetch_one(
        conn, tenant_id=request.tenant, status="suspended", now=datetime.now(UTC)
    )
    assert counts is not None, "an aggregate has a row"
    total, suspended, live = counts.users, counts.users_of_status, counts.live_sessions
    users = {"total": total, "active": total - suspended, "suspended": suspended}
    sessions = {"total": min(live, MAX_SESSIONS), "total_exact": live <= MAX_SESSIONS}
    return reply_to(request, {"users": users, "live_sessions": sessions})


@read_only()
async def get_organizations_overview(conn: Connection, request: Request) -> Reply:
    total = await COUNT_ALL_ORGANIZATIONS.fetch_value(conn, tenant_id=request.tenant)
    return reply_to(request, {"organizations": {"total": total, "total_exact": True}})
