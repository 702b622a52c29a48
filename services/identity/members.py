"""Members of organizations. Whoever changes who is in, or who owns, holds the organization's row.

So the count is exact, the limit holds, and an organization that has an owner keeps one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from chassis.ask import Ask, Reply, answer
from chassis.database import Connection
from chassis.listing import Listing, given
from chassis.patches import apply_patch
from chassis.statements import Statement, parameters
from contracts.context import Context
from contracts.ids import is_id
from contracts.models import Body
from contracts.organizations import (
    MemberAdded,
    MemberPatch,
    MemberRemoved,
    MembersQuery,
    MemberUpdated,
    NewMember,
)
from contracts.problems import Problem, invalid, not_found
from outbox.record import Recorded, event, recording
from sqlalchemy import bindparam, delete, func, insert, select, update

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
    select(ORGANIZATIONS.c.member_count, ORGANIZATIONS.c.max_members)
    .where(*_ORGANIZATION)
    .with_for_update()
)
FIND_USER = Statement(
    select(USERS.c.id, USERS.c.email, USERS.c.name)
    .where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
    .with_for_update(read=True, key_share=True)
)
FIND = Statement(select(*_COLUMNS).select_from(_WITH_USER).where(*_ONE))
INSERT = Statement(
    recording(
        insert(MEMBERS).values(parameters(MEMBERS.c)).returning(MEMBERS.c.user_id).cte("changed")
    )
)
COUNT = Statement(
    update(ORGANIZATIONS)
    .where(*_ORGANIZATION)
    .values(member_count=ORGANIZATIONS.c.member_count + bindparam("more"))
)
UPDATE = Statement(
    recording(
        update(MEMBERS)
        .where(*_ONE)
        .values(parameters([MEMBERS.c.role, MEMBERS.c.permissions], "new_"))
        .returning(MEMBERS.c.user_id)
        .cte("changed")
    )
)
DELETE = Statement(
    recording(delete(MEMBERS).where(*_ONE).returning(MEMBERS.c.user_id).cte("changed"))
)
OTHER_OWNERS = Statement(
    select(func.count())
    .select_from(MEMBERS)
    .where(*_OF_ORGANIZATION, MEMBERS.c.role == "owner", MEMBERS.c.user_id != bindparam("user_id"))
)
ALL_OF = Statement(select(MEMBERS.c.user_id, MEMBERS.c.role).where(*_OF_ORGANIZATION))

LIST = Listing(
    source=_WITH_USER,
    columns=_COLUMNS,
    key=MEMBERS.c.user_id,
    scope={"tenant_id": MEMBERS.c.tenant_id, "organization_id": MEMBERS.c.organization_id},
    sorts={"created_at": MEMBERS.c.joined_at},
    filters={
        "role": lambda role: MEMBERS.c.role == role,
        "q": lambda pattern: func.lower(
            USERS.c.email + "\n" + func.coalesce(USERS.c.name, "")
        ).like(pattern),
    },
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


async def find_all(conn: Connection, ask: Ask[Body, MembersQuery]) -> Reply:
    scope = {"tenant_id": ask.tenant, "organization_id": ask.path["id"]}
    if await FIND_ORGANIZATION.row(conn, **scope) is None:
        raise not_found()
    rows, pagination = await LIST.page(conn, ask, scope, given(ask.query))
    return answer(ask, {"members": [shown(row) for row in rows], "pagination": pagination})


async def add(conn: Connection, ask: Ask[NewMember]) -> Reply:
    new = ask.body
    scope = {"tenant_id": ask.tenant, "organization_id": ask.path["id"]}
    if await LOCK_ORGANIZATION.row(conn, **scope) is None:
        raise not_found()
    user = await _user(conn, ask, new.user_id, "user_id")
    value = await join(
        conn, ask.context, ask.tenant, ask.path["id"], user, new.role, new.permissions
    )
    return answer(ask, value, created=new.user_id)


async def _user(
    conn: Connection, ask: Ask[Any, Any], user_id: str, field: str
) -> Mapping[str, Any]:
    user: Mapping[str, Any] | None = None
    if is_id("usr", user_id):
        user = await FIND_USER.row(conn, tenant_id=ask.tenant, user_id=user_id)
    if user is None:
        raise invalid(field, "must be the id of a user of this tenant", "unknown_user")
    return user


async def join(
    conn: Connection,
    context: Context,
    tenant_id: str,
    organization_id: str,
    user: Mapping[str, Any],
    role: str,
    permissions: Sequence[str],
) -> dict[str, Any]:
    """Makes a user (id, email, name) a member. Raises Problem (404, 409)."""
    scope = {"tenant_id": tenant_id, "organization_id": organization_id}
    organization = await LOCK_ORGANIZATION.row(conn, **scope)
    if organization is None:
        raise not_found()
    if await FIND.row(conn, **scope, user_id=user["id"]) is not None:
        raise Problem("already_member", "The user is a member of this organization already.")
    limit = organization["max_members"]
    if limit is not None and organization["member_count"] >= limit:
        raise Problem(
            "member_limit_reached", f"The organization may have {limit} members. Allow more."
        )
    await COUNT.run(conn, **scope, more=1)
    return await _insert(conn, context, scope, user, role, permissions)


async def _insert(
    conn: Connection,
    context: Context,
    scope: dict[str, str],
    user: Mapping[str, Any],
    role: str,
    permissions: Sequence[str],
) -> dict[str, Any]:
    row = {
        "user_id": user["id"],
        "role": role,
        "permissions": list(permissions),
        "joined_at": datetime.now(UTC),
    }
    value = shown({**row, "email": user["email"], "name": user["name"]})
    data = {"organization_id": scope["organization_id"], "member": value}
    added = event(context, MemberAdded, user["id"], data, tenant_id=scope["tenant_id"])
    await INSERT.row(conn, **scope, **row, **added.parameters())
    return value


async def make_owner(
    conn: Connection, ask: Ask[Any, Any], organization_id: str, user_id: str
) -> None:
    """The first member of an organization that was made in this transaction, counted already."""
    user = await _user(conn, ask, user_id, "owner_id")
    scope = {"tenant_id": ask.tenant, "organization_id": organization_id}
    await _insert(conn, ask.context, scope, user, "owner", [])


async def _locked(conn: Connection, ask: Ask[Any, Any]) -> tuple[Mapping[str, Any], dict[str, str]]:
    scope = {
        "tenant_id": ask.tenant,
        "organization_id": ask.path["id"],
        "user_id": ask.path["user_id"],
    }
    await LOCK_ORGANIZATION.row(conn, tenant_id=ask.tenant, organization_id=ask.path["id"])
    row = await FIND.row(conn, **scope)
    if row is None:
        raise not_found()
    return row, scope


async def _keep_an_owner(conn: Connection, scope: dict[str, str]) -> None:
    if await OTHER_OWNERS.value(conn, **scope) == 0:
        raise Problem("last_owner", "The member is the last owner. Name another owner first.")


async def change(conn: Connection, ask: Ask[MemberPatch]) -> Reply:
    row, scope = await _locked(conn, ask)
    after, changes = apply_patch(row, ask.body.given())
    if not changes:
        return answer(ask, shown(row))
    if row["role"] == "owner" and after["role"] != "owner":
        await _keep_an_owner(conn, scope)
    value = shown(after)
    data = {"organization_id": ask.path["id"], "member": value, "changes": changes}
    updated = event(ask.context, MemberUpdated, row["user_id"], data)
    await UPDATE.row(
        conn,
        **scope,
        new_role=after["role"],
        new_permissions=after["permissions"],
        **updated.parameters(),
    )
    return answer(ask, value)


async def remove(conn: Connection, ask: Ask) -> Reply:
    row, scope = await _locked(conn, ask)
    if row["role"] == "owner":
        await _keep_an_owner(conn, scope)
    removed = _removed(ask, ask.path["id"], row)
    await DELETE.row(conn, **scope, **removed.parameters())
    await COUNT.run(conn, tenant_id=ask.tenant, organization_id=ask.path["id"], more=-1)
    return answer(ask)


def _removed(ask: Ask[Any, Any], organization_id: str, row: Mapping[str, Any]) -> Recorded:
    data = {
        "organization_id": organization_id,
        "user_id": row["user_id"],
        "role": row["role"],
    }
    return event(ask.context, MemberRemoved, row["user_id"], data)


async def removed_with(
    conn: Connection, ask: Ask[Any, Any], organization_id: str
) -> list[Recorded]:
    """The events of all memberships of an organization, which go with its row."""
    rows = await ALL_OF.rows(conn, tenant_id=ask.tenant, organization_id=organization_id)
    return [_removed(ask, organization_id, row) for row in rows]
