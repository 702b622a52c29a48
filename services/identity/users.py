"""Users: created, found, changed, suspended, erased with their sessions and memberships."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.ask import Ask, Reply, answer, json_bytes, stored_json
from chassis.database import Connection, violated
from chassis.listing import Listing, given
from chassis.patches import apply_patch, check_version, encoded_object
from chassis.statements import Statement, parameters
from contracts.context import Context
from contracts.ids import new_id
from contracts.models import Body
from contracts.organizations import Invitation, InvitationRevoked, MemberRemoved
from contracts.problems import Problem, not_found
from contracts.users import (
    DeleteUserQuery,
    NewUser,
    User,
    UserCreated,
    UserDeleted,
    UserPatch,
    UserReactivated,
    UsersQuery,
    UserSuspended,
    UserUpdated,
)
from outbox.record import Recorded, event, record_all, recording
from sqlalchemy import bindparam, delete, exists, func, insert, select, update

from identity import sessions
from identity.tables import INVITATIONS, MEMBERS, ORGANIZATIONS, USERS

_DERIVED = ("tenant_id", "email_key", "signed_in_order", "search")
_COLUMNS = [column for column in USERS.c if column.name not in _DERIVED]
_CHANGEABLE = [column for column in _COLUMNS if column.name not in ("id", "created_at")]
_ONE = (USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("id"))
_MEMBERSHIPS = (
    MEMBERS.c.tenant_id == bindparam("tenant_id"),
    MEMBERS.c.user_id == bindparam("id"),
)
_TAKEN = {
    "users_email_key": ("email_taken", "email"),
    "users_username_key": ("username_taken", "username"),
    "users_external_id_key": ("external_id_taken", "external_id"),
}

INSERT = Statement(
    recording(
        insert(USERS)
        .values(parameters([USERS.c.tenant_id, *_COLUMNS]))
        .returning(USERS.c.id)
        .cte("changed")
    )
)
FIND = Statement(select(*_COLUMNS).where(*_ONE))
LOCK = Statement(select(*_COLUMNS).where(*_ONE).with_for_update())
UPDATE = Statement(
    recording(
        update(USERS)
        .where(*_ONE)
        .values(parameters(_CHANGEABLE, "new_"))
        .returning(USERS.c.id)
        .cte("changed")
    )
)
DELETE = Statement(delete(USERS).where(*_ONE))
ORGANIZATIONS_OF = Statement(
    select(
        ORGANIZATIONS.c.id,
        ORGANIZATIONS.c.name,
        ORGANIZATIONS.c.slug,
        MEMBERS.c.role,
        MEMBERS.c.permissions,
        MEMBERS.c.joined_at,
    )
    .join(
        MEMBERS,
        (MEMBERS.c.tenant_id == ORGANIZATIONS.c.tenant_id)
        & (MEMBERS.c.organization_id == ORGANIZATIONS.c.id),
    )
    .where(*_MEMBERSHIPS)
    .order_by(MEMBERS.c.joined_at.desc(), ORGANIZATIONS.c.id.desc())
)
# In the order of their ids, so that two deletions never wait for each other.
LOCK_ORGANIZATIONS = Statement(
    select(ORGANIZATIONS.c.id, ORGANIZATIONS.c.name)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id.in_(select(MEMBERS.c.organization_id).where(*_MEMBERSHIPS)),
    )
    .order_by(ORGANIZATIONS.c.id)
    .with_for_update()
)
_OTHERS = MEMBERS.alias("others")
LONE_OWNER = Statement(
    select(MEMBERS.c.organization_id).where(
        *_MEMBERSHIPS,
        MEMBERS.c.role == "owner",
        ~exists().where(
            _OTHERS.c.tenant_id == MEMBERS.c.tenant_id,
            _OTHERS.c.organization_id == MEMBERS.c.organization_id,
            _OTHERS.c.role == "owner",
            _OTHERS.c.user_id != MEMBERS.c.user_id,
        ),
    )
)
COUNT_MEMBERSHIPS = Statement(select(func.count()).select_from(MEMBERS).where(*_MEMBERSHIPS))
LEAVE_ALL = Statement(
    delete(MEMBERS).where(*_MEMBERSHIPS).returning(MEMBERS.c.organization_id, MEMBERS.c.role)
)
# The person's email stands in them too.
ERASE_INVITATIONS = Statement(
    delete(INVITATIONS)
    .where(
        INVITATIONS.c.tenant_id == bindparam("tenant_id"),
        INVITATIONS.c.email_key == func.lower(bindparam("email")),
    )
    .returning(*(INVITATIONS.c[name] for name in ("organization_id", *Invitation.model_fields)))
)
COUNT_DOWN = Statement(
    update(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == func.any(bindparam("organizations")),
    )
    .values(member_count=ORGANIZATIONS.c.member_count - 1)
)

LIST = Listing(
    source=USERS,
    columns=_COLUMNS,
    key=USERS.c.id,
    scope={"tenant_id": USERS.c.tenant_id},
    sorts={"email": USERS.c.email_key, "last_sign_in_at": USERS.c.signed_in_order},
    filters={
        "q": USERS.c.search.like,
        "begins": USERS.c.search.op("~"),
        "status": lambda status: USERS.c.status == status,
        "email": lambda email: USERS.c.email_key == func.lower(email),
        "external_id": lambda external_id: USERS.c.external_id == external_id,
        "organization_id": lambda organization_id: exists().where(
            MEMBERS.c.tenant_id == USERS.c.tenant_id,
            MEMBERS.c.organization_id == organization_id,
            MEMBERS.c.user_id == USERS.c.id,
        ),
        "created_after": lambda time: USERS.c.created_at >= time,
        "created_before": lambda time: USERS.c.created_at <= time,
    },
    capped=frozenset({"q", "begins"}),
)
"""`q` looks anywhere; `begins` is a `q` of one or two characters, which begin a word: the trigrams
of a word's beginning are in the index, those of two letters in its middle are not."""


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The user as the contract shows it."""
    return {**row, "metadata": stored_json(row["metadata"])}


async def create(conn: Connection, ask: Ask[NewUser]) -> Reply:
    new = ask.body
    value = await _insert(conn, ask.context, ask.tenant, new.model_dump())
    return answer(ask, value, created=value["id"])


async def new_user(
    conn: Connection, context: Context, tenant_id: str, email: str, name: str | None
) -> dict[str, Any]:
    """A user who comes in by invitation. Raises Problem when the email is taken meanwhile."""
    new = NewUser(email=email, name=name, email_verified=True)
    return await _insert(conn, context, tenant_id, new.model_dump())


async def _insert(
    conn: Connection, context: Context, tenant_id: str, new: dict[str, Any]
) -> dict[str, Any]:
    now = datetime.now(UTC)
    row = {
        **new,
        "id": new_id("usr"),
        "metadata": encoded_object(new["metadata"], "metadata"),
        "last_sign_in_at": None,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    value = shown({name: row[name] for name in User.model_fields})
    created = event(context, UserCreated, row["id"], {"user": value}, tenant_id=tenant_id)
    try:
        await INSERT.row(conn, tenant_id=tenant_id, **row, **created.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error) from None
    return value


def _taken(error: asyncpg.UniqueViolationError) -> Problem:
    if violated(error) not in _TAKEN:
        raise error
    code, field = _TAKEN[violated(error)]
    return Problem(code, f"Another user of the tenant has this {field}. Give another.")


async def find(conn: Connection, ask: Ask) -> Reply:
    """The user with live sessions and organizations: three statements, whatever there is."""
    scope = {"tenant_id": ask.tenant, "id": ask.path["id"]}
    row = await FIND.row(conn, **scope)
    if row is None:
        raise not_found()
    live = await sessions.FIND_LIVE.rows(
        conn, tenant_id=ask.tenant, user_id=row["id"], now=datetime.now(UTC)
    )
    organizations = await ORGANIZATIONS_OF.rows(conn, **scope)
    value = {
        **shown(row),
        "sessions": [dict(each) for each in live],
        "organizations": [dict(each) for each in organizations],
    }
    reply = answer(ask, value)
    # Sessions change without the user's version: two answers of one version differ by this.
    return replace(reply, version=f"{row['version']}.{hashlib.sha256(reply.body).hexdigest()[:8]}")


async def find_all(conn: Connection, ask: Ask[Body, UsersQuery]) -> Reply:
    filters = given(ask.query)
    text = ask.query.q
    if text is not None and len(text) < 3:
        filters["begins"] = r"\m" + re.escape(text.lower())
        del filters["q"]
    rows, pagination = await LIST.page(conn, ask, {"tenant_id": ask.tenant}, filters)
    return answer(ask, {"users": [shown(row) for row in rows], "pagination": pagination})


async def change(conn: Connection, ask: Ask[UserPatch]) -> Reply:
    row = await LOCK.row(conn, tenant_id=ask.tenant, id=ask.path["id"])
    if row is None:
        raise not_found()
    check_version(ask.context, row["version"])
    after, changes = apply_patch(row, ask.body.given(), objects=("metadata",))
    if not changes:
        return answer(ask, shown(row))
    after |= {"version": row["version"] + 1, "updated_at": datetime.now(UTC)}
    kind: type[UserUpdated | UserSuspended | UserReactivated] = UserUpdated
    if "status" in changes:
        kind = UserSuspended if after["status"] == "suspended" else UserReactivated
    changed = event(ask.context, kind, row["id"], {"user": shown(after), "changes": changes})
    values = {f"new_{name}": field for name, field in after.items()}
    try:
        await UPDATE.row(conn, tenant_id=ask.tenant, id=row["id"], **values, **changed.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error) from None
    if kind is UserSuspended:
        await record_all(conn, await sessions.ended(conn, ask.context, row["id"], "user_suspended"))
    return answer(ask, shown(after))


async def remove(conn: Connection, ask: Ask[Body, DeleteUserQuery]) -> Reply:
    """Erases the person; what the events keep is the identifier."""
    scope = {"tenant_id": ask.tenant, "id": ask.path["id"]}
    if ask.query.dry_run:
        return await _preview(conn, ask, scope)
    await LOCK_ORGANIZATIONS.rows(conn, **scope)
    row = await LOCK.row(conn, **scope)
    if row is None:
        raise not_found()
    check_version(ask.context, row["version"])
    lone = await LONE_OWNER.rows(conn, **scope)
    if lone and not ask.query.force:
        raise Problem(
            "last_owner",
            f"The user is the only owner of {lone[0]['organization_id']}. "
            "Name another owner first, or delete with force=true.",
        )
    left = await LEAVE_ALL.rows(conn, **scope)
    events = [
        event(
            ask.context,
            MemberRemoved,
            row["id"],
            {
                "organization_id": each["organization_id"],
                "user_id": row["id"],
                "role": each["role"],
            },
        )
        for each in left
    ]
    if left:
        organizations = [each["organization_id"] for each in left]
        await COUNT_DOWN.run(conn, tenant_id=ask.tenant, organizations=organizations)
    events += await _uninvited(conn, ask, row["email"])
    events += await sessions.ended(conn, ask.context, row["id"], "user_deleted")
    await DELETE.run(conn, **scope)
    events.append(event(ask.context, UserDeleted, row["id"], {"user_id": row["id"]}))
    await record_all(conn, events)
    return answer(ask)


async def _uninvited(conn: Connection, ask: Ask[Any, Any], email: str) -> list[Recorded]:
    """Erases the invitations of a person who goes; those that were pending are revoked by it."""
    rows = await ERASE_INVITATIONS.rows(conn, tenant_id=ask.tenant, email=email)
    events = []
    for row in rows:
        if row["status"] == "pending":
            shown = {**row, "status": "revoked"}
            organization_id = shown.pop("organization_id")
            data = {"organization_id": organization_id, "invitation": shown}
            events.append(event(ask.context, InvitationRevoked, row["id"], data))
    return events


async def _preview(
    conn: Connection, ask: Ask[Body, DeleteUserQuery], scope: dict[str, str]
) -> Reply:
    if await FIND.row(conn, **scope) is None:
        raise not_found()
    live = await sessions.COUNT_LIVE.value(
        conn, tenant_id=ask.tenant, user_id=scope["id"], now=datetime.now(UTC)
    )
    memberships = await COUNT_MEMBERSHIPS.value(conn, **scope)
    return Reply(json_bytes({"would_delete": {"memberships": memberships, "sessions": live}}))
