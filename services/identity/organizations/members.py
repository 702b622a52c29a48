"""Members of organizations: listed, updated, removed.

Whoever changes the members or their roles holds the organization's row: so the count is exact, and
an organization that has an owner keeps one.
"""

from datetime import datetime
from typing import Any

from chassis.case_folding import fold_search
from chassis.database import Connection
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch
from chassis.request import Reply, Request, reply_to
from chassis.rows import to_resource
from chassis.statements import Statement, any_of, assignments
from chassis.unit_of_work import read_only, transactional
from contracts.context import Context
from contracts.members import Member, MembersQuery, MemberUpdated, UpdateMember
from contracts.models import Body
from contracts.problems import not_found
from outbox.record import OutboxEntry, create_entry, with_outbox_entry
from sqlalchemy import bindparam, delete, func, or_, select, update
from sqlmodel import SQLModel

from identity.cascades import ORGANIZATION_OF_MEMBER, USER_OF_MEMBER
from identity.counters import COUNT_MEMBERS
from identity.removal_events import create_removed_entry
from identity.tables import MEMBERS, ORGANIZATIONS, USERS, MemberRow
from identity.users import owners


class MemberWithUser(SQLModel):
    """A member with the user's email and name: the rows of a join, not a table."""

    tenant_id: str
    organization_id: str
    user_id: str
    role: str
    permissions: list[str]
    joined_at: datetime
    email: str
    name: str | None


_ORGANIZATION = (
    ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
    ORGANIZATIONS.c.id == bindparam("organization_id"),
)
_OF_ORGANIZATION = (
    MEMBERS.c.tenant_id == bindparam("tenant_id"),
    MEMBERS.c.organization_id == bindparam("organization_id"),
)
IS_MEMBER = (*_OF_ORGANIZATION, MEMBERS.c.user_id == bindparam("user_id"))
# Neither of them is deleted: see `identity.cascades`.
_WITH_USER = MEMBERS.join(USERS, USER_OF_MEMBER).join(ORGANIZATIONS, ORGANIZATION_OF_MEMBER)
_COLUMNS = [
    MEMBERS.c.user_id,
    MEMBERS.c.role,
    MEMBERS.c.permissions,
    MEMBERS.c.joined_at,
    USERS.c.email,
    USERS.c.name,
]

GET_ORGANIZATION = Statement(select(ORGANIZATIONS.c.id).where(*_ORGANIZATION))
LOCK_ORGANIZATION = Statement(
    select(ORGANIZATIONS.c.id).where(*_ORGANIZATION).with_for_update(key_share=True)
)
GET = Statement(
    select(MEMBERS.c.organization_id, *_COLUMNS).select_from(_WITH_USER).where(*IS_MEMBER),
    MemberWithUser,
)
_some = (
    select(MEMBERS.c.user_id)
    .where(*_OF_ORGANIZATION)
    .order_by(MEMBERS.c.user_id)
    .limit(bindparam("at_most"))
    .with_for_update()
)
DELETE_SOME = Statement(
    delete(MEMBERS)
    .where(*_OF_ORGANIZATION, MEMBERS.c.user_id == any_of(_some))
    .returning(MEMBERS.c.organization_id, MEMBERS.c.user_id, MEMBERS.c.role),
    MemberRow,
)
UPDATE = Statement(
    with_outbox_entry(
        update(MEMBERS)
        .where(*IS_MEMBER)
        .values(assignments([MEMBERS.c.role, MEMBERS.c.permissions]))
        .returning(MEMBERS.c.user_id)
        .cte("changed")
    )
)
LIST = Listing(
    row=MemberWithUser,
    source=_WITH_USER,
    columns=_COLUMNS,
    shown={
        "user_id": MEMBERS.c.user_id,
        "role": MEMBERS.c.role,
        "permissions": MEMBERS.c.permissions,
        "joined_at": MEMBERS.c.joined_at,
        "user": {"id": USERS.c.id, "email": USERS.c.email, "name": USERS.c.name},
    },
    key=MEMBERS.c.user_id,
    scope={"tenant_id": MEMBERS.c.tenant_id, "organization_id": MEMBERS.c.organization_id},
    sorts={"created_at": MEMBERS.c.joined_at},
    filters={
        "role": lambda role: MEMBERS.c.role == role,
        # The first has an index, for large organizations; the others say which fields are meant,
        # as they stand folded in `search`: folding a field of each candidate would cost more.
        "q": lambda pattern: (
            USERS.c.search.like(fold_search(pattern))
            & or_(
                func.split_part(USERS.c.search, "\n", 2).like(fold_search(pattern)),
                func.split_part(USERS.c.search, "\n", 4).like(fold_search(pattern)),
            )
        ),
    },
    totals={(): COUNT_MEMBERS},
    near=2_000,
)


def to_member(row: MemberWithUser) -> dict[str, Any]:
    """The member as the API shows it."""
    user = {"id": row.user_id, "email": row.email, "name": row.name}
    return to_resource(row, Member, user=user)


async def organization_exists(conn: Connection, scope: dict[str, str]) -> bool:
    """Whether there is the organization of this `tenant_id` and `organization_id`."""
    return await GET_ORGANIZATION.fetch_one(conn, **scope) is not None


@read_only()
async def list_members(conn: Connection, request: Request[Body, MembersQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "organization_id": request.path["id"]}
    members, pagination = await LIST.json_page(conn, request, scope, filters_of(request.query))
    if not members and not await organization_exists(conn, scope):
        raise not_found()
    return reply_to(request, {"members": members, "pagination": pagination})


def key_of(request: Request[Any, Any]) -> dict[str, str]:
    """The key of the member whom the path names."""
    return {
        "tenant_id": request.tenant,
        "organization_id": request.path["id"],
        "user_id": request.path["user_id"],
    }


async def lock_member(conn: Connection, key: dict[str, str]) -> MemberWithUser:
    """The member, whose organization is locked. Raises Problem (404)."""
    await LOCK_ORGANIZATION.fetch_one(conn, **key)
    member = await GET.fetch_one(conn, **key)
    if member is None:
        raise not_found()
    return member


@transactional()
async def update_member(conn: Connection, request: Request[UpdateMember]) -> Reply:
    key = key_of(request)
    if request.body.given().get("role") == "owner":
        await owners.LOCK_CANDIDATE.fetch_one(
            conn, tenant_id=request.tenant, user_id=key["user_id"]
        )
    member = await lock_member(conn, key)
    after, changes = apply_patch(member, request.body.given())
    value = to_member(after)
    if not changes:
        return reply_to(request, value)
    if member.role == "owner" and after.role != "owner":
        await owners.check_other(conn, key)
    data = {"organization_id": member.organization_id, "member": value, "changes": changes}
    entry = create_entry(request.context, MemberUpdated, member.user_id, data)
    await UPDATE.execute(
        conn, **key, role=after.role, permissions=after.permissions, **entry.parameters()
    )
    return reply_to(request, value)


async def delete_some(
    conn: Connection, context: Context, organization_id: str, at_most: int
) -> list[OutboxEntry]:
    """Deletes members of an organization that is deleted; returns an event for each."""
    rows = await DELETE_SOME.fetch_all(
        conn, tenant_id=context.tenant(), organization_id=organization_id, at_most=at_most
    )
    rows.sort(key=lambda row: row.user_id)
    return [create_removed_entry(context, row.user_id, row) for row in rows]
