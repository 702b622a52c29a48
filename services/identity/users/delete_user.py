"""Deletes a user with the sessions, the memberships and the invitations of the user's email.

The user's row is locked first and then those of the organizations, in the order of their ids:
nobody adds the user as a member meanwhile, and two deletions never wait for each other. Of very
many parts one batch is deleted at once and a cascade does the rest.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chassis.case_folding import fold_case
from chassis.database import Connection
from chassis.idempotency import erase_answers
from chassis.merge_patch import check_version
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.statements import Statement, any_of
from chassis.unit_of_work import transactional
from contracts.context import Context
from contracts.invitations import Invitation
from contracts.models import Body
from contracts.problems import not_found
from contracts.users import DeleteUserQuery, UserDeleted
from outbox.cascade import BATCH, Cascade, request_cascade
from outbox.record import OutboxEntry, create_entry, record
from sqlalchemy import bindparam, delete, func, literal_column, or_, select, union, update

from identity.cascades import ORGANIZATION_OF_INVITATION, ORGANIZATION_OF_MEMBER, USER
from identity.removal_events import create_removed_entry, create_revoked_entries
from identity.sessions import sessions
from identity.tables import (
    INVITATIONS,
    MEMBERS,
    ORGANIZATIONS,
    SESSIONS,
    USERS,
    InvitationRow,
    MemberRow,
    SessionRow,
    UserRow,
)
from identity.users import owners

_USER = (USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
_MEMBERSHIPS = (
    MEMBERS.c.tenant_id == bindparam("tenant_id"),
    MEMBERS.c.user_id == bindparam("user_id"),
)
_INVITATIONS = (
    INVITATIONS.c.tenant_id == bindparam("tenant_id"),
    or_(
        INVITATIONS.c.email_key == fold_case(bindparam("email")),
        INVITATIONS.c.user_id == bindparam("user_id"),
    ),
)
MAX_INVITATIONS = 50_000
"""Of which the event can say that they are erased: it has to be a message of at most 2 MiB."""
ADVICE = "Name another owner first, or repeat with force=true."

GET = Statement(select(USERS.c.email, USERS.c.version).where(*_USER), UserRow)
LOCK = Statement(select(USERS.c.email, USERS.c.version).where(*_USER).with_for_update(), UserRow)
DELETE = Statement(delete(USERS).where(*_USER))
_some_organizations = (
    select(MEMBERS.c.organization_id)
    .where(*_MEMBERSHIPS)
    .order_by(MEMBERS.c.organization_id)
    .limit(bindparam("at_most"))
)
LOCK_ORGANIZATIONS = owners.lock_organizations(_some_organizations)
"""Those of the memberships that are deleted next."""
LOCK_OWNED_TOO = owners.lock_organizations(
    union(owners.OWNED, select(_some_organizations.subquery().c.organization_id))
)
"""The same and those that the user owns, which are to keep an owner."""
_removed = (
    delete(MEMBERS)
    .where(
        *_MEMBERSHIPS, MEMBERS.c.organization_id == any_of(_some_organizations.with_for_update())
    )
    .returning(MEMBERS.c.organization_id, MEMBERS.c.user_id, MEMBERS.c.role)
    .cte("removed")
)
_counted = (
    update(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == _removed.c.organization_id,
    )
    .values(member_count=ORGANIZATIONS.c.member_count - 1)
    .cte("counted")
)
DELETE_MEMBERSHIPS = Statement(select(_removed).add_cte(_counted), MemberRow)
DELETE_SESSIONS = Statement(
    delete(SESSIONS)
    .where(
        SESSIONS.c.tenant_id == bindparam("tenant_id"),
        SESSIONS.c.id
        == any_of(
            select(SESSIONS.c.id)
            .where(
                SESSIONS.c.tenant_id == bindparam("tenant_id"),
                SESSIONS.c.user_id == bindparam("user_id"),
            )
            .limit(bindparam("at_most"))
            .with_for_update()
        ),
    )
    .returning(SESSIONS.c.user_id, SESSIONS.c.id, SESSIONS.c.status, SESSIONS.c.expires_at),
    SessionRow,
)
# Closed ones too: they hold the user's email.
_some_invitations = (
    select(INVITATIONS.c.organization_id, INVITATIONS.c.id)
    .where(*_INVITATIONS, INVITATIONS.c.id <= bindparam("last_id", type_=INVITATIONS.c.id.type))
    .limit(bindparam("at_most"))
    .with_for_update()
    .cte("some")
)
DELETE_INVITATIONS = Statement(
    delete(INVITATIONS)
    .where(
        INVITATIONS.c.tenant_id == bindparam("tenant_id"),
        INVITATIONS.c.organization_id == _some_invitations.c.organization_id,
        INVITATIONS.c.id == _some_invitations.c.id,
    )
    .returning(*(INVITATIONS.c[name] for name in ("organization_id", *Invitation.model_fields))),
    InvitationRow,
)
LIST_INVITATIONS = Statement(
    select(INVITATIONS.c.id)
    .where(*_INVITATIONS)
    .order_by(INVITATIONS.c.id.desc())
    .limit(literal_column(str(MAX_INVITATIONS))),
    InvitationRow,
)
COUNT_MEMBERSHIPS = Statement(
    select(func.count())
    .select_from(MEMBERS)
    .join(ORGANIZATIONS, ORGANIZATION_OF_MEMBER)
    .where(*_MEMBERSHIPS)
)
COUNT_INVITATIONS = Statement(
    select(func.count())
    .select_from(INVITATIONS)
    .join(ORGANIZATIONS, ORGANIZATION_OF_INVITATION)
    .where(
        *_INVITATIONS,
        INVITATIONS.c.status == "pending",
        INVITATIONS.c.expires_at > bindparam("now"),
    )
)


@transactional()
async def delete_user(conn: Connection, request: Request[Body, DeleteUserQuery]) -> Reply:
    """Each membership, live session and pending invitation ends with its event: before that of the
    user, or if there are very many after it, in steps. The event of the user has identifiers only.
    """
    key = {"tenant_id": request.tenant, "user_id": request.path["id"]}
    dry_run = request.query.dry_run
    user = await (GET if dry_run else LOCK).fetch_one(conn, **key)
    if user is None:
        raise not_found()
    check_version(request.context, user.version)
    if not request.query.force:
        if not dry_run:
            await LOCK_OWNED_TOO.fetch_all(conn, **key, at_most=BATCH)
        await owners.check_owned(conn, key, ADVICE)
    if dry_run:
        return await _preview(conn, key, user.email)
    context, parts = request.context, {**key, "email": user.email}
    listed = await LIST_INVITATIONS.fetch_all(conn, **parts)
    invitation_ids = [row.id for row in listed]
    parts["last_id"] = max(invitation_ids, default="")
    entries, more = await _delete_parts(conn, context, parts, BATCH)
    if more:
        last_id = parts["last_id"]
        await request_cascade(
            conn, context, USER, key["user_id"], detail=user.email, last_id=last_id
        )
    await DELETE.execute(conn, **key)
    await erase_answers(conn, [key["user_id"], *invitation_ids])
    data: dict[str, Any] = {"user_id": key["user_id"]}
    if invitation_ids:
        data["invitation_ids"] = invitation_ids
    deleted = create_entry(context, UserDeleted, key["user_id"], data)
    await record(conn, [deleted, *entries] if more else [*entries, deleted])
    return reply_to(request)


async def delete_more(conn: Connection, context: Context, cascade: Cascade, at_most: int) -> bool:
    """A step: see `outbox.cascade`."""
    parts = {
        "tenant_id": cascade.tenant_id,
        "user_id": cascade.resource_id,
        "email": cascade.detail,
        "last_id": cascade.last_id,
    }
    entries, more = await _delete_parts(conn, context, parts, at_most, is_erased=True)
    await record(conn, entries)
    return more


async def _delete_parts(
    conn: Connection,
    context: Context,
    parts: Mapping[str, Any],
    at_most: int,
    *,
    is_erased: bool = False,
) -> tuple[list[OutboxEntry], bool]:
    """The events, and whether there may be more. `is_erased`: what comes now has no personal
    data.
    """
    await LOCK_ORGANIZATIONS.fetch_all(conn, **parts, at_most=at_most)
    memberships = await DELETE_MEMBERSHIPS.fetch_all(conn, **parts, at_most=at_most)
    memberships.sort(key=lambda row: row.organization_id)
    left = at_most - len(memberships)
    ended = await DELETE_SESSIONS.fetch_all(conn, **parts, at_most=left)
    left -= len(ended)
    invited = await DELETE_INVITATIONS.fetch_all(conn, **parts, at_most=left)
    now = datetime.now(UTC)
    live = [row for row in ended if row.status == "active" and row.expires_at > now]
    entries = [create_removed_entry(context, row.user_id, row) for row in memberships]
    entries += sessions.create_revoked_entries(context, live, "user_deleted")
    entries += create_revoked_entries(context, invited, is_erased=is_erased)
    return entries, left == len(invited)


async def _preview(conn: Connection, key: Mapping[str, str], email: str) -> Reply:
    now = datetime.now(UTC)
    would_delete = {
        "memberships": await COUNT_MEMBERSHIPS.fetch_value(conn, **key),
        "sessions": await sessions.COUNT_LIVE.fetch_value(conn, **key, now=now),
        "invitations": await COUNT_INVITATIONS.fetch_value(conn, **key, email=email, now=now),
    }
    return Reply(json_bytes({"would_delete": would_delete}))
