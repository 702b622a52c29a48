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
from chassis.statements import Statement, assignments
from chassis.unit_of_work import read_only, transactional
from contracts.context import Context
from contracts.members import Member, MemberRemoved, MembersQuery, MemberUpdated, UpdateMember
from contracts.models import Body
from contracts.problems import not_found
from outbox.record import OutboxEntry, create_entry, with_outbox_entry
from sqlalchemy import bindparam, func, or_, select, update
from sqlmodel import SQLModel

from identity.counters import COUNT_MEMBERS
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

GET_ORGANIZATION = Statement(select(ORGANIZATIONS.c.id).where(*_ORGANIZATION))
LOCK_ORGANIZATION = Statement(
    select(ORGANIZATIONS.c.id).where(*_ORGANIZATION).with_for_update(key_share=True)
)
GET = Statement(
    select(MEMBERS.c.organization_id, *_COLUMNS).select_from(_WITH_USER).where(*IS_MEMBER),
    MemberWithUser,
)
LIST_OF_ORGANIZATION = Statement(
    select(MEMBERS.c.organization_id, MEMBERS.c.user_id, MEMBERS.c.role)
    .where(*_OF_ORGANIZATION)
    .order_by(MEMBERS.c.user_id),
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
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    if not rows and not await organization_exists(conn, scope):
        raise not_found()
    members = [to_member(row) for row in rows]
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


def create_removed_entry(context: Context, member: MemberRow | MemberWithUser) -> OutboxEntry:
    """The event of a member who is removed."""
    return create_entry(context, MemberRemoved, member.user_id, to_resource(member, MemberRemoved))


async def create_removed_entries(
    conn: Connection, context: Context, organization_id: str
) -> list[OutboxEntry]:
    """The events of all members of an organization that is locked and will be deleted with them."""
    rows = await LIST_OF_ORGANIZATION.fetch_all(
        conn, tenant_id=context.tenant(), organization_id=organization_id
    )
    return [create_removed_entry(context, row) for row in rows]
