"""The invitations of an organization, the newest first, by the status that they have now.

Of those that are stored as pending the live ones are counted, which a quota bounds; all others have
counters. Invitations of a user who is being deleted are left out: they are looked for only while
there is such a user.
"""

from datetime import UTC, datetime
from typing import Any

from chassis.database import TIME, Connection
from chassis.list_statements import Condition
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to
from chassis.rows import to_resource
from chassis.unit_of_work import read_only
from contracts.invitations import Invitation, InvitationsQuery
from contracts.models import Body
from contracts.problems import not_found
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    select,
)

from identity.cascades import DELETED_USERS, IS_INVITATION_DELETED, ORGANIZATION_OF_INVITATION
from identity.counters import count_invitations
from identity.organizations import members
from identity.tables import INVITATIONS, ORGANIZATIONS, InvitationRow

_now = bindparam("now", type_=TIME)
_is_past = INVITATIONS.c.expires_at <= _now
_is_pending = INVITATIONS.c.status == literal_column("'pending'")
_status = case((and_(_is_pending, _is_past), "expired"), else_=INVITATIONS.c.status)
_COLUMNS: dict[str, ColumnElement[Any]] = {
    name: INVITATIONS.c[name] for name in Invitation.model_fields
}
_COLUMNS["status"] = _status.label("status")


def _count(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
    """Looks at each invitation that meets the conditions."""
    return (
        select(func.count())
        .where(
            INVITATIONS.c.tenant_id == bindparam("tenant_id"),
            INVITATIONS.c.organization_id == bindparam("organization_id"),
            *conditions,
        )
        .correlate(None)
        .scalar_subquery()
    )


def _stored(*statuses: str) -> ColumnElement[int]:
    return count_invitations(*statuses).scalar_subquery()


_pending = _count(_is_pending, not_(_is_past))
_COUNTS: dict[str, ColumnElement[int]] = {
    "pending": _pending,
    "expired": _stored("expired", "pending") - _pending,
    "accepted": _stored("accepted"),
    "revoked": _stored("revoked"),
}


def _total(count: ColumnElement[int], *conditions: ColumnElement[bool]) -> Select[int]:
    deleted = _count(IS_INVITATION_DELETED, *conditions)
    return select(count - case((exists(DELETED_USERS), deleted), else_=0))


def _filter(condition: ColumnElement[bool]) -> Condition:
    return lambda _: condition


LIST = Listing(
    row=InvitationRow,
    source=INVITATIONS.join(
        ORGANIZATIONS, and_(ORGANIZATION_OF_INVITATION, not_(IS_INVITATION_DELETED))
    ),
    columns=list(_COLUMNS.values()),
    key=INVITATIONS.c.id,
    scope={"tenant_id": INVITATIONS.c.tenant_id, "organization_id": INVITATIONS.c.organization_id},
    filters={name: _filter(_status == name) for name in _COUNTS},
    totals={
        (): _total(_stored(*_COUNTS)),
        **{(name,): _total(count, _status == name) for name, count in _COUNTS.items()},
    },
)


@read_only()
async def list_invitations(conn: Connection, request: Request[Body, InvitationsQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "organization_id": request.path["id"]}
    values = {**scope, "now": datetime.now(UTC)}
    given = dict.fromkeys(filters_of(request.query).values(), True)
    rows, pagination = await LIST.page(conn, request, values, given)
    if not rows and not await members.organization_exists(conn, scope):
        raise not_found()
    invitations = [to_resource(row, Invitation) for row in rows]
    return reply_to(request, {"invitations": invitations, "pagination": pagination})
