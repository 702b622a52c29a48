"""The invitations of an organization, the newest first, by the status that they have now.

Their total is counted in an index alone. Invitations of a user who is being deleted are left out:
they are looked for only while there is such a user.
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
    or_,
    select,
    true,
)

from identity.cascades import DELETED_USERS, IS_INVITATION_DELETED, ORGANIZATION_OF_INVITATION
from identity.organizations import members
from identity.tables import INVITATIONS, ORGANIZATIONS, InvitationRow

_now = bindparam("now", type_=TIME)
_IS_PAST = INVITATIONS.c.expires_at <= _now


def _is(status: str) -> ColumnElement[bool]:
    """The status that is stored: written out, so that the planner knows it."""
    return INVITATIONS.c.status == literal_column(f"'{status}'")


_STATUS = case((and_(_is("pending"), _IS_PAST), "expired"), else_=INVITATIONS.c.status)
_STATUSES: dict[str, ColumnElement[bool]] = {
    "pending": and_(_is("pending"), not_(_IS_PAST)),
    "expired": or_(_is("expired"), and_(_is("pending"), _IS_PAST)),
    "accepted": _is("accepted"),
    "revoked": _is("revoked"),
}
_COLUMNS: dict[str, ColumnElement[Any]] = {
    name: INVITATIONS.c[name] for name in Invitation.model_fields
}
_COLUMNS["status"] = _STATUS.label("status")


def _total(condition: ColumnElement[bool]) -> Select[int]:
    count = (
        select(func.count())
        .where(
            INVITATIONS.c.tenant_id == bindparam("tenant_id"),
            INVITATIONS.c.organization_id == bindparam("organization_id"),
            condition,
        )
        .correlate(None)
    )
    deleted = count.where(IS_INVITATION_DELETED).scalar_subquery()
    return select(count.scalar_subquery() - case((exists(DELETED_USERS), deleted), else_=0))


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
    # Not the conditions of the totals: a page follows the order, whatever an index promises.
    filters={name: _filter(name == _STATUS) for name in _STATUSES},
    totals={
        (): _total(true()),
        **{(name,): _total(condition) for name, condition in _STATUSES.items()},
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
