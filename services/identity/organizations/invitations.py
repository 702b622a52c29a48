"""Invitations: created, revoked, resent; an email has at most one pending in each
organization.

A pending one past its time is shown as expired, and stored so when another takes its place. The
token leaves once; its keyed hash stays.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from chassis.case_folding import fold_case
from chassis.database import TIME, Connection, violated
from chassis.encryption import Keyring
from chassis.quota import Quota
from chassis.request import Reply, Request, reply_to
from chassis.rows import changed_row, new_row
from chassis.statements import Statement, any_of
from chassis.unit_of_work import transactional
from contracts.context import Context
from contracts.ids import new_id
from contracts.invitations import (
    CreateInvitation,
    Invitation,
    InvitationCreated,
    InvitationResent,
)
from contracts.problems import Problem, not_found
from contracts.scopes import covers
from outbox.crud import Crud
from outbox.record import OutboxEntry, create_entry, record
from sqlalchemy import (
    bindparam,
    delete,
    exists,
    not_,
    or_,
    select,
    update,
)

from identity.cascades import IS_INVITATION_DELETED, ORGANIZATION_OF_INVITATION
from identity.removal_events import create_revoked_entries, create_revoked_entry
from identity.tables import INVITATIONS, MEMBERS, ORGANIZATIONS, USERS, InvitationRow

_now = bindparam("now", type_=TIME)
_COLUMNS = [INVITATIONS.c[name] for name in Invitation.model_fields if name != "status"]
"""All that the API shows but the status, which depends on the time."""
_STORED = (INVITATIONS.c.organization_id, INVITATIONS.c.status, *_COLUMNS)
_OF_ORGANIZATION = (
    INVITATIONS.c.tenant_id == bindparam("tenant_id"),
    INVITATIONS.c.organization_id == bindparam("organization_id"),
)

CRUD = Crud(
    InvitationRow,
    Invitation,
    fixed={"email", "role", "permissions", "invited_by", "lifetime", "created_at", "accepted_at"},
    locks_key=True,
)
# A shared lock: it keeps the organization from being deleted until the invitation is there.
LOCK_ORGANIZATION: Statement[Any] = Statement(
    select(
        exists()
        .where(
            MEMBERS.c.tenant_id == bindparam("tenant_id"),
            MEMBERS.c.organization_id == bindparam("organization_id"),
            USERS.c.tenant_id == MEMBERS.c.tenant_id,
            USERS.c.id == MEMBERS.c.user_id,
            USERS.c.email_key == fold_case(bindparam("email")),
        )
        .label("is_member"),
        exists()
        .where(
            *_OF_ORGANIZATION,
            INVITATIONS.c.email_key == fold_case(bindparam("email")),
            IS_INVITATION_DELETED,
        )
        .label("has_deleted"),
    )
    .select_from(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == bindparam("organization_id"),
    )
    .with_for_update(read=True, key_share=True, of=ORGANIZATIONS)
)
"""Whether a member has the email, and whether a former user of it has invitations that a cascade
deletes.
"""
DELETE_DELETED = Statement(
    delete(INVITATIONS)
    .where(
        *_OF_ORGANIZATION,
        INVITATIONS.c.email_key == fold_case(bindparam("email")),
        IS_INVITATION_DELETED,
    )
    .returning(*_STORED),
    InvitationRow,
)
QUOTA = Quota(
    "pending_invitations_per_organization",
    select(INVITATIONS.c.id).where(
        *_OF_ORGANIZATION,
        INVITATIONS.c.status == "pending",
        INVITATIONS.c.expires_at > _now,
        not_(IS_INVITATION_DELETED),
    ),
)
EXPIRE = Statement(
    update(INVITATIONS)
    .where(
        *_OF_ORGANIZATION,
        INVITATIONS.c.email_key == fold_case(bindparam("email")),
        INVITATIONS.c.status == "pending",
        INVITATIONS.c.expires_at <= _now,
    )
    .values(status="expired")
)
REVOKE_PENDING_OF_EMAIL = Statement(
    update(INVITATIONS)
    .where(
        *_OF_ORGANIZATION,
        INVITATIONS.c.email_key == fold_case(bindparam("email")),
        or_(INVITATIONS.c.status == "pending", INVITATIONS.c.status == "expired"),
    )
    .values(status="revoked")
    .returning(INVITATIONS.c.organization_id, *_COLUMNS),
    InvitationRow,
)
_some = (
    select(INVITATIONS.c.id)
    .where(*_OF_ORGANIZATION)
    .order_by(INVITATIONS.c.id)
    .limit(bindparam("at_most"))
    .with_for_update()
)
DELETE_SOME = Statement(
    delete(INVITATIONS)
    .where(*_OF_ORGANIZATION, INVITATIONS.c.id == any_of(_some))
    .returning(*_STORED),
    InvitationRow,
)
LOCK = Statement(
    select(*CRUD.columns)
    .join(ORGANIZATIONS, ORGANIZATION_OF_INVITATION)
    .where(*_OF_ORGANIZATION, INVITATIONS.c.id == bindparam("id"), not_(IS_INVITATION_DELETED))
    .with_for_update(of=INVITATIONS),
    InvitationRow,
)


def token_hashes(keyring: Keyring, token: str) -> list[str]:
    """What is stored of a token, by the first hash key or an older one."""
    return keyring.hashes("invitation", token)


def _create_token() -> str:
    """256 random bits."""
    return f"inv_{secrets.token_urlsafe(32)}"


@transactional()
async def create_invitation(conn: Connection, request: Request[CreateInvitation]) -> Reply:
    new, now = request.body, datetime.now(UTC)
    if new.email_verified and not covers(request.context.scopes, "users:write"):
        raise Problem(
            "insufficient_scope",
            "email_verified needs the scope users:write. Leave it out, or use another key.",
            scope="users:write",
        )
    scope = {"tenant_id": request.tenant, "organization_id": request.path["id"]}
    found = await LOCK_ORGANIZATION.fetch_one(conn, **scope, email=new.email)
    if found is None:
        raise not_found()
    if found["is_member"]:
        raise Problem("already_member", "A member of this organization has this email.")
    if found["has_deleted"]:
        deleted = await DELETE_DELETED.fetch_all(conn, **scope, email=new.email)
        await record(conn, create_revoked_entries(request.context, deleted, is_erased=True))
    await EXPIRE.execute(conn, **scope, email=new.email, now=now)
    await _check_quota(conn, request, now)
    token = _create_token()
    row = new_row(
        InvitationRow,
        tenant_id=request.tenant,
        organization_id=request.path["id"],
        id=new_id("inv"),
        email=new.email,
        email_verified=new.email_verified,
        user_id=None,
        role=new.role,
        permissions=new.permissions,
        status="pending",
        token_hash=token_hashes(request.keyring, token)[0],
        invited_by=request.context.actor_id,
        lifetime=new.expires_in,
        expires_at=now + timedelta(seconds=new.expires_in),
        created_at=now,
        accepted_at=None,
    )
    invitation = CRUD.shown(row)
    data = {"organization_id": row.organization_id, "invitation": invitation}
    entry = create_entry(request.context, InvitationCreated, row.id, data)
    try:
        await CRUD.create(conn, row, entry)
    except asyncpg.UniqueViolationError as error:
        raise _pending(error) from None
    return reply_to(request, {**invitation, "token": token}, created=row.id)


async def _check_quota(conn: Connection, request: Request[Any, Any], now: datetime) -> None:
    scope = {"tenant_id": request.tenant, "organization_id": request.path["id"]}
    await QUOTA.check(conn, request.quota(QUOTA.name), scope["organization_id"], **scope, now=now)


def _pending(error: asyncpg.UniqueViolationError) -> Problem:
    """Raises the error if it is about something else."""
    if violated(error) != "invitations_pending_key":
        raise error
    return Problem(
        "invitation_pending", "This email has a pending invitation. Resend or revoke it."
    )


async def _lock(conn: Connection, request: Request) -> InvitationRow:
    row = await LOCK.fetch_one(
        conn,
        tenant_id=request.tenant,
        organization_id=request.path["id"],
        id=request.path["inv_id"],
    )
    if row is None:
        raise not_found()
    return row


@transactional()
async def revoke_invitation(conn: Connection, request: Request) -> Reply:
    """Expired ones too: they could be resent otherwise."""
    row = await _lock(conn, request)
    if row.status == "revoked":
        raise not_found()
    if row.status == "accepted":
        raise Problem("invitation_closed", "The invitation was accepted already.", status=409)
    entry = create_revoked_entry(request.context, row)
    await CRUD.update(conn, changed_row(row, status="revoked"), entry)
    return reply_to(request)


@transactional()
async def resend_invitation(conn: Connection, request: Request) -> Reply:
    """A new token with the same lifetime as before; the old token is not valid any more."""
    now = datetime.now(UTC)
    row = await _lock(conn, request)
    if row.status not in ("pending", "expired"):
        raise Problem(
            "invitation_closed", f"The invitation is {row.status}. Make another.", status=409
        )
    if row.status == "expired" or row.expires_at <= now:
        await _check_quota(conn, request, now)
    token = _create_token()
    pending = changed_row(
        row,
        status="pending",
        token_hash=token_hashes(request.keyring, token)[0],
        expires_at=now + timedelta(seconds=row.lifetime),
    )
    invitation = CRUD.shown(pending)
    data = {"organization_id": row.organization_id, "invitation": invitation}
    entry = create_entry(request.context, InvitationResent, row.id, data)
    try:
        await CRUD.update(conn, pending, entry)
    except asyncpg.UniqueViolationError as error:
        raise _pending(error) from None
    return reply_to(request, {**invitation, "token": token})


async def revoke_pending_of_email(
    conn: Connection, context: Context, organization_id: str, email: str
) -> list[OutboxEntry]:
    """Revokes what a person who became a member, or is none any more, could still accept; returns
    the events, which the caller records.
    """
    rows = await REVOKE_PENDING_OF_EMAIL.fetch_all(
        conn, tenant_id=context.tenant(), organization_id=organization_id, email=email
    )
    return [create_revoked_entry(context, row) for row in rows]


async def delete_some(
    conn: Connection, tenant_id: str, organization_id: str, at_most: int
) -> list[InvitationRow]:
    """Deletes invitations of an organization that is deleted, and returns them."""
    return await DELETE_SOME.fetch_all(
        conn, tenant_id=tenant_id, organization_id=organization_id, at_most=at_most
    )
