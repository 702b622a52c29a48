"""Deletes a user with the sessions, the memberships and the invitations of the user's email.

The user's row is locked first and then those of the organizations, in the order of their ids:
nobody adds the user as a member meanwhile, and two deletions never wait for each other.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from chassis.case_folding import fold_case
from chassis.database import Connection
from chassis.idempotency import erase_answers
from chassis.merge_patch import check_version
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.rows import changed_row, to_resource
from chassis.statements import Statement
from chassis.unit_of_work import transactional
from contracts.context import Context
from contracts.invitations import Invitation, InvitationRevoked
from contracts.members import MemberRemoved
from contracts.models import Body
from contracts.problems import not_found
from contracts.users import DeleteUserQuery, UserDeleted
from outbox.record import OutboxEntry, create_entry, record
from sqlalchemy import bindparam, delete, func, or_, select, update

from identity.sessions import sessions
from identity.tables import (
    INVITATIONS,
    MEMBERS,
    ORGANIZATIONS,
    USERS,
    InvitationRow,
    MemberRow,
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
ADVICE = "Name another owner first, or repeat with force=true."

GET = Statement(select(USERS.c.email, USERS.c.version).where(*_USER), UserRow)
LOCK = Statement(select(USERS.c.email, USERS.c.version).where(*_USER).with_for_update(), UserRow)
DELETE = Statement(delete(USERS).where(*_USER))
LOCK_ORGANIZATIONS = Statement(
    select(ORGANIZATIONS.c.id)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id.in_(select(MEMBERS.c.organization_id).where(*_MEMBERSHIPS)),
    )
    .order_by(ORGANIZATIONS.c.id)
    .with_for_update(key_share=True)
)
_removed = (
    delete(MEMBERS)
    .where(*_MEMBERSHIPS)
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
# Closed ones too: they hold the user's email.
DELETE_INVITATIONS = Statement(
    delete(INVITATIONS)
    .where(*_INVITATIONS)
    .returning(*(INVITATIONS.c[name] for name in ("organization_id", *Invitation.model_fields))),
    InvitationRow,
)
COUNT_MEMBERSHIPS = Statement(select(func.count()).select_from(MEMBERS).where(*_MEMBERSHIPS))
COUNT_INVITATIONS = Statement(
    select(func.count())
    .select_from(INVITATIONS)
    .where(
        *_INVITATIONS,
        INVITATIONS.c.status == "pending",
        INVITATIONS.c.expires_at > bindparam("now"),
    )
)


@transactional()
async def delete_user(conn: Connection, request: Request[Body, DeleteUserQuery]) -> Reply:
    """Each membership, live session and pending invitation ends with its event; the event of the
    user has the identifier only.
    """
    key = {"tenant_id": request.tenant, "user_id": request.path["id"]}
    dry_run = request.query.dry_run
    user = await (GET if dry_run else LOCK).fetch_one(conn, **key)
    if user is None:
        raise not_found()
    check_version(request.context, user.version)
    if not dry_run:
        await LOCK_ORGANIZATIONS.fetch_all(conn, **key)
    if not request.query.force:
        await owners.check_owned(conn, key, ADVICE)
    if dry_run:
        return await _preview(conn, key, user.email)
    context = request.context
    entries = await _delete_memberships(conn, context, key)
    entries += await sessions.revoke_all_of_user(conn, context, key["user_id"], "user_deleted")
    invitations = await DELETE_INVITATIONS.fetch_all(conn, **key, email=user.email)
    invitations.sort(key=lambda row: row.id)
    invitation_ids = [row.id for row in invitations]
    entries += _create_revoked_entries(context, invitations)
    await erase_answers(conn, [key["user_id"], *invitation_ids])
    await DELETE.execute(conn, **key)
    data: dict[str, Any] = {"user_id": key["user_id"]}
    if invitation_ids:
        data["invitation_ids"] = invitation_ids
    entries.append(create_entry(context, UserDeleted, key["user_id"], data))
    await record(conn, entries)
    return reply_to(request)


async def _preview(conn: Connection, key: Mapping[str, str], email: str) -> Reply:
    now = datetime.now(UTC)
    would_delete = {
        "memberships": await COUNT_MEMBERSHIPS.fetch_value(conn, **key),
        "sessions": await sessions.COUNT_LIVE.fetch_value(conn, **key, now=now),
        "invitations": await COUNT_INVITATIONS.fetch_value(conn, **key, email=email, now=now),
    }
    return Reply(json_bytes({"would_delete": would_delete}))


async def _delete_memberships(
    conn: Connection, context: Context, key: Mapping[str, str]
) -> list[OutboxEntry]:
    rows = await DELETE_MEMBERSHIPS.fetch_all(conn, **key)
    return [
        create_entry(context, MemberRemoved, row.user_id, to_resource(row, MemberRemoved))
        for row in sorted(rows, key=lambda row: row.organization_id)
    ]


def _create_revoked_entries(
    context: Context, invitations: Sequence[InvitationRow]
) -> list[OutboxEntry]:
    """The events of the pending ones; the others are closed already."""
    now = datetime.now(UTC)
    entries = []
    for row in invitations:
        if row.status == "pending" and row.expires_at > now:
            invitation = to_resource(changed_row(row, status="revoked"), Invitation)
            data = {"organization_id": row.organization_id, "invitation": invitation}
            entries.append(create_entry(context, InvitationRevoked, row.id, data))
    return entries
