"""Users: created, shown, updated. Suspending one revokes the sessions in the same transaction."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.case_folding import fold_case
from chassis.database import ID, Connection, violated
from chassis.json_rows import select_json
from chassis.merge_patch import apply_patch, encoded_object
from chassis.request import Reply, Request, reply_to, stored_json
from chassis.rows import new_row, to_resource
from chassis.statements import Statement, parameters
from chassis.unit_of_work import read_only, single_statement, transactional
from contracts.context import Context
from contracts.ids import new_id
from contracts.problems import Problem, not_found
from contracts.users import (
    CreateUser,
    UpdateUser,
    User,
    UserCreated,
    UserReactivated,
    UserSuspended,
    UserUpdated,
)
from outbox.crud import Crud
from outbox.record import OutboxEntry, create_entry, record, with_outbox_entry
from sqlalchemy import Text, bindparam, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from identity.cascades import ORGANIZATION_OF_MEMBER
from identity.sessions import sessions
from identity.sessions.sessions import MAX_LISTED
from identity.tables import INVITATIONS, MEMBERS, ORGANIZATIONS, USERS, UserRow
from identity.users import owners

CRUD = Crud(UserRow, User, fixed={"last_sign_in_at", "created_at"})
CREATE_IF_NEW = Statement(
    with_outbox_entry(
        insert(USERS)
        .values(parameters(CRUD.columns))
        .on_conflict_do_nothing(index_elements=["tenant_id", "email_key"])
        .returning(USERS.c.id)
        .cte("changed")
    )
)
"""Inserts nothing if another user has the email."""
_ORGANIZATIONS_AS_JSON = (
    select_json(
        ORGANIZATIONS.join(MEMBERS, ORGANIZATION_OF_MEMBER),
        {
            "id": ORGANIZATIONS.c.id,
            "name": ORGANIZATIONS.c.name,
            "slug": ORGANIZATIONS.c.slug,
            "role": MEMBERS.c.role,
            "permissions": MEMBERS.c.permissions,
            "joined_at": MEMBERS.c.joined_at,
        },
    )
    .where(MEMBERS.c.tenant_id == bindparam("tenant_id"), MEMBERS.c.user_id == bindparam("user_id"))
    .order_by(MEMBERS.c.joined_at.desc(), ORGANIZATIONS.c.id.desc())
    .limit(literal_column(str(MAX_LISTED + 1)))
)


class UserWithAll(User):
    """A user with live sessions and organizations as JSON, of each perhaps one too many."""

    sessions: list[str]
    organizations: list[str]


GET_WITH_ALL = Statement(
    select(
        *(USERS.c[name] for name in User.model_fields),
        func.array(sessions.LIVE_AS_JSON.scalar_subquery()).label("sessions"),
        func.array(_ORGANIZATIONS_AS_JSON.scalar_subquery()).label("organizations"),
    ).where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id")),
    UserWithAll,
)
IS_SAME_EMAIL = Statement(
    select(fold_case(bindparam("one", type_=Text)) == fold_case(bindparam("other", type_=Text)))
)
KEEP_FORMER_EMAIL = Statement(
    update(INVITATIONS)
    .where(
        INVITATIONS.c.tenant_id == bindparam("tenant_id"),
        INVITATIONS.c.email_key == fold_case(bindparam("email")),
        INVITATIONS.c.user_id.is_(None),
    )
    .values(user_id=bindparam("user_id", type_=ID))
)
"""Invitations to a former email are deleted with its user."""
_TAKEN = {
    "users_email_key": ("email_taken", "email"),
    "users_username_key": ("username_taken", "username"),
    "users_external_id_key": ("external_id_taken", "external id"),
}


def create_row(tenant_id: str, new: CreateUser, now: datetime) -> UserRow:
    """The row of a new user. Raises Problem when the metadata is too large."""
    return new_row(
        UserRow,
        tenant_id=tenant_id,
        id=new_id("usr"),
        email=new.email,
        email_verified=new.email_verified,
        username=new.username,
        name=new.name,
        external_id=new.external_id,
        status=new.status,
        metadata_=encoded_object(new.metadata, "metadata"),
        last_sign_in_at=None,
        version=1,
        created_at=now,
        updated_at=now,
    )


def create_created_entry(context: Context, row: UserRow) -> OutboxEntry:
    """The event of a new row."""
    return create_entry(context, UserCreated, row.id, {"user": CRUD.shown(row)})


def _taken(error: asyncpg.UniqueViolationError) -> Problem:
    """The value that another user has; raises the error if it is about something else."""
    if violated(error) not in _TAKEN:
        raise error
    code, field = _TAKEN[violated(error)]
    return Problem(code, f"Another user has this {field}. Give another one.")


@single_statement()
async def create_user(conn: Connection, request: Request[CreateUser]) -> Reply:
    row = create_row(request.tenant, request.body, datetime.now(UTC))
    try:
        await CRUD.create(conn, row, create_created_entry(request.context, row))
    except asyncpg.UniqueViolationError as error:
        raise _taken(error) from None
    return reply_to(request, CRUD.shown(row), created=row.id)


async def create_user_if_new(
    conn: Connection, context: Context, new: CreateUser, now: datetime
) -> None:
    """Creates a user by the user's own action, unless another user has the email."""
    row = create_row(context.tenant(), new, now)
    own_context = replace(context, actor_type="user", actor_id=row.id)
    entry = create_created_entry(own_context, row)
    await CREATE_IF_NEW.execute(conn, **vars(row), **entry.parameters())


@read_only()
async def get_user(conn: Connection, request: Request) -> Reply:
    """The user with live sessions and organizations: one statement."""
    row = await GET_WITH_ALL.fetch_one(
        conn, tenant_id=request.tenant, user_id=request.path["id"], now=datetime.now(UTC)
    )
    if row is None:
        raise not_found()
    more = {}
    if len(row.organizations) > MAX_LISTED:
        more["organizations"] = f"/v1/admin/organizations?user_id={row.id}"
    if len(row.sessions) > MAX_LISTED:
        more["sessions"] = f"/v1/admin/users/{row.id}/sessions?status=active"
    value = {
        **to_resource(row, User, CRUD.json_columns),
        "sessions": [stored_json(each) for each in row.sessions[:MAX_LISTED]],
        "organizations": [stored_json(each) for each in row.organizations[:MAX_LISTED]],
        "more": more,
    }
    reply = reply_to(request, value)
    # Sessions and memberships change without the user's version: the digest tells them apart.
    return replace(reply, version=f"{row.version}.{hashlib.sha256(reply.body).hexdigest()[:8]}")


async def _is_moved(conn: Connection, row: UserRow, patch: Mapping[str, Any]) -> bool:
    """Whether the patch has another email; another case is no other email."""
    email = patch.get("email", row.email)
    return email != row.email and not await IS_SAME_EMAIL.fetch_value(
        conn, one=email, other=row.email
    )


@transactional()
async def update_user(conn: Connection, request: Request[UpdateUser]) -> Reply:
    row = await CRUD.lock(conn, request, tenant_id=request.tenant, id=request.path["id"])
    patch = request.body.changed(row)
    is_moved = await _is_moved(conn, row, patch)
    if is_moved:
        patch = {"email_verified": False, **patch}
    after, changes = apply_patch(row, patch, CRUD.json_columns)
    user = CRUD.shown(after)
    if not changes:
        return reply_to(request, user)
    kind: type[UserUpdated | UserSuspended | UserReactivated] = UserUpdated
    if "status" in changes:
        kind = UserSuspended if after.status == "suspended" else UserReactivated
    key = {"tenant_id": request.tenant, "user_id": row.id}
    if kind is UserSuspended:
        await owners.lock_owned(conn, key)
        await owners.check_owned(conn, key, "Name another owner first.")
    entry = create_entry(request.context, kind, row.id, {"user": user, "changes": changes})
    try:
        await CRUD.update(conn, after, entry)
    except asyncpg.UniqueViolationError as error:
        raise _taken(error) from None
    if is_moved:
        await KEEP_FORMER_EMAIL.execute(conn, **key, email=row.email)
    if kind is UserSuspended:
        revoked = await sessions.revoke_all_of_user(conn, request.context, row.id, "user_suspended")
        await record(conn, revoked)
    return reply_to(request, user)
