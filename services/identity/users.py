"""Users: created, found, changed; suspending one ends the sessions in the same transaction."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.database import Connection, violated
from chassis.merge_patch import apply_patch, check_version, encoded_object
from chassis.request import Reply, Request, reply_to, stored_json
from chassis.statements import Statement, parameters
from contracts.context import Context
from contracts.ids import new_id
from contracts.problems import Problem, not_found
from contracts.users import (
    CreateUser,
    UpdateUser,
    UserCreated,
    UserReactivated,
    UserSuspended,
    UserUpdated,
)
from outbox.record import OutboxEntry, create_entry, record, with_outbox_entry
from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from identity import sessions
from identity.tables import MEMBERS, ORGANIZATIONS, USERS

_DERIVED = ("tenant_id", "email_key", "signed_in_order", "search")
COLUMNS = [column for column in USERS.c if column.name not in _DERIVED]
_CHANGEABLE = [
    column for column in COLUMNS if column.name not in ("id", "last_sign_in_at", "created_at")
]
_ONE = (USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("id"))
_TAKEN = {
    "users_email_key": ("email_taken", "email"),
    "users_username_key": ("username_taken", "username"),
    "users_external_id_key": ("external_id_taken", "external id"),
}

_insert = insert(USERS).values(parameters([USERS.c.tenant_id, *COLUMNS]))
INSERT = Statement(with_outbox_entry(_insert.returning(USERS.c.id).cte("changed")))
INSERT_IF_NEW = Statement(
    with_outbox_entry(
        _insert.on_conflict_do_nothing(index_elements=["tenant_id", "email_key"])
        .returning(USERS.c.id)
        .cte("changed")
    )
)
"""Does nothing, and tells nothing, where the email has a user."""
FIND = Statement(select(*COLUMNS).where(*_ONE))
LOCK = Statement(select(*COLUMNS).where(*_ONE).with_for_update(key_share=True))
UPDATE = Statement(
    with_outbox_entry(
        update(USERS)
        .where(*_ONE)
        .values(parameters(_CHANGEABLE, "new_"))
        .returning(USERS.c.id)
        .cte("changed")
    )
)
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
    .where(MEMBERS.c.tenant_id == bindparam("tenant_id"), MEMBERS.c.user_id == bindparam("id"))
    .order_by(MEMBERS.c.joined_at.desc(), ORGANIZATIONS.c.id.desc())
)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The user as the contract shows it."""
    return {**row, "metadata": stored_json(row["metadata"])}


def new_row(new: CreateUser, now: datetime) -> dict[str, Any]:
    """A new user's row, all but the tenant. Raises Problem when the metadata is too large."""
    return {
        "id": new_id("usr"),
        "email": new.email,
        "email_verified": new.email_verified,
        "username": new.username,
        "name": new.name,
        "external_id": new.external_id,
        "status": new.status,
        "metadata": encoded_object(new.metadata, "metadata"),
        "last_sign_in_at": None,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }


def created(context: Context, row: Mapping[str, Any]) -> OutboxEntry:
    """The event of a new row."""
    return create_entry(context, UserCreated, row["id"], {"user": shown(row)})


def taken(error: asyncpg.UniqueViolationError) -> Problem:
    """What a row has in common with another user's; the error again if it is something else."""
    if violated(error) not in _TAKEN:
        raise error
    code, field = _TAKEN[violated(error)]
    return Problem(code, f"Another user has this {field}. Give another one.")


async def create(conn: Connection, request: Request[CreateUser]) -> Reply:
    """One statement."""
    row = new_row(request.body, datetime.now(UTC))
    event_of = created(request.context, row)
    try:
        await INSERT.fetch_one(conn, tenant_id=request.tenant, **row, **event_of.parameters())
    except asyncpg.UniqueViolationError as error:
        raise taken(error) from None
    return reply_to(request, shown(row), created=row["id"])


async def find(conn: Connection, request: Request) -> Reply:
    """The user with live sessions and organizations: three statements, whatever there is."""
    scope = {"tenant_id": request.tenant, "id": request.path["id"]}
    row = await FIND.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    live = await sessions.FIND_LIVE.fetch_all(
        conn, tenant_id=request.tenant, user_id=row["id"], now=datetime.now(UTC)
    )
    organizations = await ORGANIZATIONS_OF.fetch_all(conn, **scope)
    value = {
        **shown(row),
        "sessions": [dict(each) for each in live],
        "organizations": [dict(each) for each in organizations],
    }
    reply = reply_to(request, value)
    # Sessions and memberships change without the user's version: the digest tells them apart.
    return replace(reply, version=f"{row['version']}.{hashlib.sha256(reply.body).hexdigest()[:8]}")


async def change(conn: Connection, request: Request[UpdateUser]) -> Reply:
    row = await LOCK.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"])
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    after, changes = apply_patch(row, request.body.given(), objects=("metadata",))
    if not changes:
        return reply_to(request, shown(row))
    value = shown(after)
    kind: type[UserUpdated | UserSuspended | UserReactivated] = UserUpdated
    if "status" in changes:
        kind = UserSuspended if after["status"] == "suspended" else UserReactivated
    changed = create_entry(request.context, kind, row["id"], {"user": value, "changes": changes})
    values = {f"new_{name}": field for name, field in after.items()}
    try:
        await UPDATE.fetch_one(
            conn, tenant_id=request.tenant, id=row["id"], **values, **changed.parameters()
        )
    except asyncpg.UniqueViolationError as error:
        raise taken(error) from None
    if kind is UserSuspended:
        await record(conn, await sessions.ended(conn, request.context, row["id"], "user_suspended"))
    return reply_to(request, value)
