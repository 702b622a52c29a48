"""Adds members: by request, by invitation, or as the owner of a new organization.

The statement that inserts the member updates the count in the organization's row, so the limit
holds. Rows are locked in the order user, organization, invitation everywhere: no deadlock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.database import Connection, violated
from chassis.request import Reply, Request, reply_to
from chassis.rows import new_row
from chassis.statements import Statement, parameters
from chassis.unit_of_work import transactional
from contracts.context import Context
from contracts.ids import is_id
from contracts.members import AddMember, MemberAdded
from contracts.problems import Problem, invalid, not_found
from outbox.record import create_entry, record, with_outbox_entry
from sqlalchemy import bindparam, insert, or_, select, update

from identity.cascades import MEMBER_COUNT
from identity.organizations import members
from identity.organizations.invitations import revoke_pending_of_email
from identity.organizations.members import MemberWithUser, to_member
from identity.tables import MEMBERS, ORGANIZATIONS, USERS, UserRow

# A shared lock: it keeps the user from being deleted until the membership is there.
LOCK_USER = Statement(
    select(USERS.c.id, USERS.c.email, USERS.c.name)
    .where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
    .with_for_update(read=True, key_share=True),
    UserRow,
)
_values = parameters(MEMBERS.c)
CREATE = Statement(
    with_outbox_entry(insert(MEMBERS).values(_values).returning(MEMBERS.c.user_id).cte("changed"))
)
_counted = (
    update(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == bindparam("organization_id"),
        or_(
            ORGANIZATIONS.c.max_members.is_(None),
            MEMBER_COUNT.element < ORGANIZATIONS.c.max_members,
        ),
    )
    .values(member_count=ORGANIZATIONS.c.member_count + 1)
    .returning(ORGANIZATIONS.c.id)
    .cte("counted")
)
CREATE_AND_COUNT = Statement(
    with_outbox_entry(
        insert(MEMBERS)
        .from_select(
            list(_values),
            select(*(value.label(name) for name, value in _values.items())).select_from(_counted),
        )
        .returning(MEMBERS.c.user_id)
        .cte("changed")
    )
)
"""Inserts nothing if the organization is absent or full."""


@dataclass(frozen=True, slots=True)
class NewMember:
    """A user (id, email, name; locked) who becomes a member."""

    organization_id: str
    user: UserRow
    role: str
    permissions: Sequence[str] = ()


@transactional()
async def add_member(conn: Connection, request: Request[AddMember]) -> Reply:
    """A pending invitation of the user is revoked: nobody is invited who is a member."""
    new, organization_id = request.body, request.path["id"]
    user = await _lock_user(conn, request.tenant, new.user_id)
    if user is None:
        scope = {"tenant_id": request.tenant, "organization_id": organization_id}
        if not await members.organization_exists(conn, scope):
            raise not_found()
        raise _unknown_user("user_id")
    member = await create_member(
        conn, request.context, NewMember(organization_id, user, new.role, new.permissions)
    )
    await record(
        conn, await revoke_pending_of_email(conn, request.context, organization_id, user.email)
    )
    return reply_to(request, member, created=user.id)


async def _lock_user(conn: Connection, tenant_id: str, user_id: str) -> UserRow | None:
    if not is_id("usr", user_id):
        return None
    return await LOCK_USER.fetch_one(conn, tenant_id=tenant_id, user_id=user_id)


def _unknown_user(field: str) -> Problem:
    return invalid(field, "must be the id of a user of this tenant", "unknown_user")


async def create_member(conn: Connection, context: Context, new: NewMember) -> dict[str, Any]:
    """Returns the member as the API shows it. Raises Problem."""
    values, member = _prepare(context, new)
    try:
        created = await CREATE_AND_COUNT.fetch_one(conn, **values)
    except asyncpg.UniqueViolationError as error:
        if violated(error) != "members_pkey":
            raise
        raise _already_member() from None
    if created is None:
        raise await _refusal(conn, values)
    return member


async def _refusal(conn: Connection, values: dict[str, Any]) -> Problem:
    if not await members.organization_exists(conn, values):
        return not_found()
    if await members.GET.fetch_one(conn, **values) is not None:
        return _already_member()
    return Problem(
        "member_limit_reached", "The organization has all the members it may have. Allow more."
    )


def _already_member() -> Problem:
    return Problem("already_member", "The user is a member of this organization already.")


def _prepare(context: Context, new: NewMember) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of CREATE and CREATE_AND_COUNT, and the member as the API shows it."""
    row = new_row(
        MemberWithUser,
        tenant_id=context.tenant(),
        organization_id=new.organization_id,
        user_id=new.user.id,
        role=new.role,
        permissions=list(new.permissions),
        joined_at=datetime.now(UTC),
        email=new.user.email,
        name=new.user.name,
    )
    member = to_member(row)
    data = {"organization_id": new.organization_id, "member": member}
    entry = create_entry(context, MemberAdded, new.user.id, data)
    return {**vars(row), **entry.parameters()}, member


async def create_owner(
    conn: Connection, context: Context, organization_id: str, user_id: str
) -> None:
    """The first member of an organization that was created with a count of one. Raises Problem."""
    user = await _lock_user(conn, context.tenant(), user_id)
    if user is None:
        raise _unknown_user("owner_id")
    values, _ = _prepare(context, NewMember(organization_id, user, "owner"))
    await CREATE.execute(conn, **values)
