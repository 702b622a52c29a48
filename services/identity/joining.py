"""Becoming a member: added, invited, or the owner of something new. The limit holds.

The organization's row counts up in the statement that inserts the member. Rows are taken in the
order user, organization, invitation everywhere, so that nobody waits in a circle.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.database import Connection, violated
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement, parameters
from contracts.context import Context
from contracts.ids import is_id
from contracts.members import AddMember, MemberAdded
from contracts.problems import Problem, invalid, not_found
from outbox.record import create_entry, with_outbox_entry
from sqlalchemy import bindparam, insert, or_, select, update

from identity import members
from identity.tables import MEMBERS, ORGANIZATIONS, USERS

# Shared: it keeps the user from being deleted until the membership is there.
FIND_USER = Statement(
    select(USERS.c.id, USERS.c.email, USERS.c.name)
    .where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
    .with_for_update(read=True, key_share=True)
)
INSERT = Statement(
    with_outbox_entry(
        insert(MEMBERS).values(parameters(MEMBERS.c)).returning(MEMBERS.c.user_id).cte("changed")
    )
)
_free = (
    update(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == bindparam("organization_id"),
        or_(
            ORGANIZATIONS.c.max_members.is_(None),
            ORGANIZATIONS.c.member_count < ORGANIZATIONS.c.max_members,
        ),
    )
    .values(member_count=ORGANIZATIONS.c.member_count + 1)
    .returning(ORGANIZATIONS.c.id)
    .cte("free")
)
JOIN = Statement(
    with_outbox_entry(
        insert(MEMBERS)
        .from_select(
            [column.name for column in MEMBERS.c],
            select(
                *(value.label(name) for name, value in parameters(MEMBERS.c).items())
            ).select_from(_free),
        )
        .returning(MEMBERS.c.user_id)
        .cte("changed")
    )
)
"""Nothing where the organization is absent or full."""


async def add(conn: Connection, request: Request[AddMember]) -> Reply:
    """Two statements, a third for the refusal."""
    new = request.body
    user = await _user(conn, request.tenant, new.user_id)
    if user is None:
        scope = {"tenant_id": request.tenant, "organization_id": request.path["id"]}
        if await members.FIND_ORGANIZATION.fetch_one(conn, **scope) is None:
            raise not_found()
        raise _unknown("user_id")
    value = await join(
        conn, request.context, request.path["id"], user, role=new.role, permissions=new.permissions
    )
    return reply_to(request, value, created=new.user_id)


async def _user(conn: Connection, tenant_id: str, user_id: str) -> Mapping[str, Any] | None:
    if not is_id("usr", user_id):
        return None
    return await FIND_USER.fetch_one(conn, tenant_id=tenant_id, user_id=user_id)


def _unknown(field: str) -> Problem:
    return invalid(field, "must be the id of a user of this tenant", "unknown_user")


async def join(
    conn: Connection,
    context: Context,
    organization_id: str,
    user: Mapping[str, Any],
    *,
    role: str,
    permissions: Sequence[str],
) -> dict[str, Any]:
    """Makes a user (id, email, name; held) a member; answers the member. Raises Problem."""
    values, value = _member(context, organization_id, user, role, permissions)
    try:
        joined = await JOIN.fetch_one(conn, **values)
    except asyncpg.UniqueViolationError as error:
        if violated(error) != "members_pkey":
            raise
        raise _already() from None
    if joined is None:
        raise await _refusal(conn, values)
    return value


async def _refusal(conn: Connection, values: Mapping[str, Any]) -> Problem:
    if await members.FIND_ORGANIZATION.fetch_one(conn, **values) is None:
        return not_found()
    if await members.FIND.fetch_one(conn, **values) is not None:
        return _already()
    return Problem(
        "member_limit_reached", "The organization has all the members it may have. Allow more."
    )


def _already() -> Problem:
    return Problem("already_member", "The user is a member of this organization already.")


def _member(
    context: Context,
    organization_id: str,
    user: Mapping[str, Any],
    role: str,
    permissions: Sequence[str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of INSERT and JOIN, and the member as it will be shown."""
    row = {
        "user_id": user["id"],
        "role": role,
        "permissions": permissions,
        "joined_at": datetime.now(UTC),
    }
    value = members.shown({**row, "email": user["email"], "name": user["name"]})
    data = {"organization_id": organization_id, "member": value}
    added = create_entry(context, MemberAdded, user["id"], data)
    scope = {"tenant_id": context.tenant(), "organization_id": organization_id}
    return {**scope, **row, **added.parameters()}, value


async def make_owner(
    conn: Connection, request: Request[Any, Any], organization_id: str, user_id: str
) -> None:
    """The first member of an organization that was made in this transaction, counted already."""
    user = await _user(conn, request.tenant, user_id)
    if user is None:
        raise _unknown("owner_id")
    values, _ = _member(request.context, organization_id, user, "owner", [])
    await INSERT.fetch_one(conn, **values)
