"""Members of organizations: listed, changed, removed.

Whoever changes who is in, or who owns, holds the organization's row: so the count is exact, and an
organization that has an owner keeps one.
"""

from collections.abc import Mapping
from typing import Any

from chassis.database import Connection
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement, parameters
from contracts.context import Context
from contracts.members import MemberRemoved, MembersQuery, MemberUpdated, UpdateMember
from contracts.models import Body
from contracts.problems import Problem, not_found
from outbox.record import OutboxEntry, create_entry, with_outbox_entry
from sqlalchemy import bindparam, delete, exists, func, select, update

from identity.tables import MEMBERS, ORGANIZATIONS, USERS

_ORGANIZATION = (
    ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
    ORGANIZATIONS.c.id == bindparam("organization_id"),
)
_OF_ORGANIZATION = (
    MEMBERS.c.tenant_id == bindparam("tenant_id"),
    MEMBERS.c.organization_id == bindparam("organization_id"),
)
_ONE = (*_OF_ORGANIZATION, MEMBERS.c.user_id == bindparam("user_id"))
_WITH_USER = MEMBERS.join(
    USERS, (USERS.c.tenant_id == MEMBERS.c.tenant_id) & (USERS.c.id == MEMBERS.c.user_id)
)
_COLUMNS = [
    MEMBERS.c.user_id,
    MEMBERS.c.role,
    MEMBERS.c.permissions,
    MEMBERS.c.joined_at,
    USERS.c.email,
    USERS.c.name,
]

FIND_ORGANIZATION = Statement(select(ORGANIZATIONS.c.id).where(*_ORGANIZATION))
LOCK_ORGANIZATION = Statement(
    select(ORGANIZATIONS.c.id).where(*_ORGANIZATION).with_for_update(key_share=True)
)
FIND = Statement(select(*_COLUMNS).select_from(_WITH_USER).where(*_ONE))
UPDATE = Statement(
    with_outbox_entry(
        update(MEMBERS)
        .where(*_ONE)
        .values(parameters([MEMBERS.c.role, MEMBERS.c.permissions], "new_"))
        .returning(MEMBERS.c.user_id)
        .cte("changed")
    )
)
_gone = delete(MEMBERS).where(*_ONE).returning(MEMBERS.c.organization_id).cte("gone")
_fewer = (
    update(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == _gone.c.organization_id,
    )
    .values(member_count=ORGANIZATIONS.c.member_count - 1)
    .cte("fewer")
)
LEAVE = Statement(with_outbox_entry(_gone).add_cte(_fewer))
OTHER_OWNER = Statement(
    select(
        exists().where(
            *_OF_ORGANIZATION, MEMBERS.c.role == "owner", MEMBERS.c.user_id != bindparam("user_id")
        )
    )
)
ALL_OF = Statement(
    select(MEMBERS.c.organization_id, MEMBERS.c.user_id, MEMBERS.c.role)
    .where(*_OF_ORGANIZATION)
    .order_by(MEMBERS.c.user_id)
)

COUNTED = select(ORGANIZATIONS.c.member_count).where(*_ORGANIZATION)
LIST = Listing(
    source=_WITH_USER,
    columns=_COLUMNS,
    key=MEMBERS.c.user_id,
    scope={"tenant_id": MEMBERS.c.tenant_id, "organization_id": MEMBERS.c.organization_id},
    sorts={"created_at": MEMBERS.c.joined_at},
    filters={
        "role": lambda role: MEMBERS.c.role == role,
        # The first has an index, for large organizations; the others say which fields are meant.
        "q": lambda pattern: (
            USERS.c.search.like(pattern)
            & (func.lower(USERS.c.email).like(pattern) | func.lower(USERS.c.name).like(pattern))
        ),
    },
    totals={(): COUNTED},
)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The member as the contract shows it."""
    return {
        "user_id": row["user_id"],
        "role": row["role"],
        "permissions": row["permissions"],
        "joined_at": row["joined_at"],
        "user": {"id": row["user_id"], "email": row["email"], "name": row["name"]},
    }


async def find_all(conn: Connection, request: Request[Body, MembersQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "organization_id": request.path["id"]}
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    if not rows and await FIND_ORGANIZATION.fetch_one(conn, **scope) is None:
        raise not_found()
    return reply_to(request, {"members": [shown(row) for row in rows], "pagination": pagination})


async def _locked(
    conn: Connection, request: Request[Any, Any]
) -> tuple[Mapping[str, Any], dict[str, str]]:
    scope = {
        "tenant_id": request.tenant,
        "organization_id": request.path["id"],
        "user_id": request.path["user_id"],
    }
    await LOCK_ORGANIZATION.fetch_one(conn, **scope)
    row = await FIND.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    return row, scope


async def _keep_an_owner(conn: Connection, scope: Mapping[str, str]) -> None:
    if not await OTHER_OWNER.fetch_value(conn, **scope):
        raise Problem("last_owner", "The member is the last owner. Name another owner first.")


async def change(conn: Connection, request: Request[UpdateMember]) -> Reply:
    row, scope = await _locked(conn, request)
    after, changes = apply_patch(row, request.body.given())
    if not changes:
        return reply_to(request, shown(row))
    if row["role"] == "owner" and after["role"] != "owner":
        await _keep_an_owner(conn, scope)
    value = shown(after)
    data = {"organization_id": request.path["id"], "member": value, "changes": changes}
    updated = create_entry(request.context, MemberUpdated, row["user_id"], data)
    await UPDATE.fetch_one(
        conn,
        **scope,
        new_role=after["role"],
        new_permissions=after["permissions"],
        **updated.parameters(),
    )
    return reply_to(request, value)


async def remove(conn: Connection, request: Request) -> Reply:
    row, scope = await _locked(conn, request)
    if row["role"] == "owner":
        await _keep_an_owner(conn, scope)
    gone = removed(request.context, {**scope, "role": row["role"]})
    await LEAVE.fetch_one(conn, **scope, **gone.parameters())
    return reply_to(request)


def removed(context: Context, row: Mapping[str, Any]) -> OutboxEntry:
    """The event of a membership (organization_id, user_id, role) that is no more."""
    data = {name: row[name] for name in ("organization_id", "user_id", "role")}
    return create_entry(context, MemberRemoved, row["user_id"], data)


async def removed_with(
    conn: Connection, request: Request[Any, Any], organization_id: str
) -> list[OutboxEntry]:
    """The events of all memberships of an organization that is held and goes, they with it."""
    rows = await ALL_OF.fetch_all(conn, tenant_id=request.tenant, organization_id=organization_id)
    return [removed(request.context, row) for row in rows]
