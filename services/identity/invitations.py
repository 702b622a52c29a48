"""Invitations: made, listed, revoked, resent; one at most is pending for an email.

A pending one past its time reads expired. It is stored so when another takes its place. The token
leaves once; its keyed hash stays.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from chassis.database import TIME, Connection, violated
from chassis.encryption import Keyring
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement, parameters
from contracts.context import Context
from contracts.ids import new_id
from contracts.invitations import (
    CreateInvitation,
    Invitation,
    InvitationCreated,
    InvitationResent,
    InvitationRevoked,
    InvitationsQuery,
)
from contracts.models import Body
from contracts.problems import Problem, not_found
from outbox.record import OutboxEntry, create_entry, with_outbox_entry
from sqlalchemy import Text, and_, bindparam, case, delete, exists, func, insert, select, update

from identity import members
from identity.tables import INVITATIONS, MEMBERS, ORGANIZATIONS, USERS

_now = bindparam("now", type_=TIME)
_STATUS = case(
    (and_(INVITATIONS.c.status == "pending", INVITATIONS.c.expires_at <= _now), "expired"),
    else_=INVITATIONS.c.status,
)
SHOWN = [INVITATIONS.c[name] for name in Invitation.model_fields if name != "status"]
"""All but the status, which depends on the time."""
_OF_ORGANIZATION = (
    INVITATIONS.c.tenant_id == bindparam("tenant_id"),
    INVITATIONS.c.organization_id == bindparam("organization_id"),
)
_ONE = (*_OF_ORGANIZATION, INVITATIONS.c.id == bindparam("id"))

# Shared: it keeps the organization from being deleted until the invitation is there.
LOOK = Statement(
    select(
        exists()
        .where(
            MEMBERS.c.tenant_id == bindparam("tenant_id"),
            MEMBERS.c.organization_id == bindparam("organization_id"),
            USERS.c.tenant_id == MEMBERS.c.tenant_id,
            USERS.c.id == MEMBERS.c.user_id,
            USERS.c.email_key == func.lower(bindparam("email")),
        )
        .label("is_member")
    )
    .select_from(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == bindparam("organization_id"),
    )
    .with_for_update(read=True, key_share=True, of=ORGANIZATIONS)
)
CLOSE_EXPIRED = Statement(
    update(INVITATIONS)
    .where(
        *_OF_ORGANIZATION,
        INVITATIONS.c.email_key == func.lower(bindparam("email")),
        INVITATIONS.c.status == "pending",
        INVITATIONS.c.expires_at <= _now,
    )
    .values(status="expired")
)
INSERT = Statement(
    with_outbox_entry(
        insert(INVITATIONS)
        .values(parameters(column for column in INVITATIONS.c if column.name != "email_key"))
        .returning(INVITATIONS.c.id)
        .cte("changed")
    )
)
LOCK = Statement(
    select(*SHOWN, _STATUS.label("status"), INVITATIONS.c.lifetime).where(*_ONE).with_for_update()
)
REVOKE = Statement(
    with_outbox_entry(
        update(INVITATIONS)
        .where(*_ONE)
        .values(status=bindparam("new_status", type_=Text))
        .returning(INVITATIONS.c.id)
        .cte("changed")
    )
)
RENEW = Statement(
    with_outbox_entry(
        update(INVITATIONS)
        .where(*_ONE)
        .values(
            status=bindparam("new_status", type_=Text),
            token_hash=bindparam("new_token_hash", type_=INVITATIONS.c.token_hash.type),
            expires_at=bindparam("new_expires_at", type_=TIME),
        )
        .returning(INVITATIONS.c.id)
        .cte("changed")
    )
)
DELETE_PENDING = Statement(
    delete(INVITATIONS)
    .where(*_OF_ORGANIZATION, INVITATIONS.c.status == "pending", INVITATIONS.c.expires_at > _now)
    .returning(*SHOWN)
)

LIST = Listing(
    source=INVITATIONS,
    columns=[*SHOWN, _STATUS.label("status")],
    key=INVITATIONS.c.id,
    scope={"tenant_id": INVITATIONS.c.tenant_id, "organization_id": INVITATIONS.c.organization_id},
    filters={"status": lambda status: status == _STATUS},
)


def hashed(keys: Keyring, token: str) -> str:
    """What is stored of a token."""
    return keys.hash("invitation", token)


def _new_token() -> str:
    """256 random bits."""
    return f"inv_{secrets.token_urlsafe(32)}"


async def create(conn: Connection, request: Request[CreateInvitation]) -> Reply:
    new, now = request.body, datetime.now(UTC)
    scope = {"tenant_id": request.tenant, "organization_id": request.path["id"]}
    organization = await LOOK.fetch_one(conn, **scope, email=new.email)
    if organization is None:
        raise not_found()
    if organization["is_member"]:
        raise Problem("already_member", "A member of this organization has this email.")
    await CLOSE_EXPIRED.execute(conn, **scope, email=new.email, now=now)
    token = _new_token()
    row: dict[str, Any] = {
        "id": new_id("inv"),
        "email": new.email,
        "role": new.role,
        "permissions": new.permissions,
        "status": "pending",
        "invited_by": request.context.actor_id,
        "expires_at": now + timedelta(seconds=new.expires_in),
        "created_at": now,
        "accepted_at": None,
    }
    data = {"organization_id": scope["organization_id"], "invitation": row}
    created = create_entry(request.context, InvitationCreated, row["id"], data)
    stored = {**row, "token_hash": hashed(request.keys, token), "lifetime": new.expires_in}
    try:
        await INSERT.fetch_one(conn, **scope, **stored, **created.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _pending(error) from None
    return reply_to(request, {**row, "token": token}, created=row["id"])


def _pending(error: asyncpg.UniqueViolationError) -> Problem:
    if violated(error) != "invitations_pending_key":
        raise error
    return Problem(
        "invitation_pending", "This email has a pending invitation. Resend or revoke it."
    )


async def find_all(conn: Connection, request: Request[Body, InvitationsQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "organization_id": request.path["id"]}
    values = {**scope, "now": datetime.now(UTC)}
    rows, pagination = await LIST.page(conn, request, values, filters_of(request.query))
    if not rows and await members.FIND_ORGANIZATION.fetch_one(conn, **scope) is None:
        raise not_found()
    return reply_to(request, {"invitations": rows, "pagination": pagination})


async def _locked(conn: Connection, request: Request[Any, Any], now: datetime) -> Mapping[str, Any]:
    row: Mapping[str, Any] | None = await LOCK.fetch_one(conn, **_scope(request), now=now)
    if row is None:
        raise not_found()
    return row


def _scope(request: Request[Any, Any]) -> dict[str, str]:
    return {
        "tenant_id": request.tenant,
        "organization_id": request.path["id"],
        "id": request.path["inv_id"],
    }


async def revoke(conn: Connection, request: Request) -> Reply:
    """Expired ones too: they could be sent again otherwise."""
    row = await _locked(conn, request, datetime.now(UTC))
    if row["status"] == "revoked":
        raise not_found()
    if row["status"] == "accepted":
        raise Problem("invitation_closed", "The invitation was accepted already.", status=409)
    revoked = revocation(request.context, request.path["id"], row)
    await REVOKE.fetch_one(conn, **_scope(request), new_status="revoked", **revoked.parameters())
    return reply_to(request)


async def resend(conn: Connection, request: Request) -> Reply:
    """A new token, and as long a time as before; the old token is dead."""
    now = datetime.now(UTC)
    row = await _locked(conn, request, now)
    if row["status"] not in ("pending", "expired"):
        raise Problem(
            "invitation_closed", f"The invitation is {row['status']}. Make another.", status=409
        )
    token, expires_at = _new_token(), now + timedelta(seconds=row["lifetime"])
    renewed = {**_shown(row), "status": "pending", "expires_at": expires_at}
    data = {"organization_id": request.path["id"], "invitation": renewed}
    resent = create_entry(request.context, InvitationResent, row["id"], data)
    try:
        await RENEW.fetch_one(
            conn,
            **_scope(request),
            new_status="pending",
            new_token_hash=hashed(request.keys, token),
            new_expires_at=expires_at,
            **resent.parameters(),
        )
    except asyncpg.UniqueViolationError as error:
        raise _pending(error) from None
    return reply_to(request, {**renewed, "token": token})


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Invitation.model_fields if name in row}


def revocation(context: Context, organization_id: str, row: Mapping[str, Any]) -> OutboxEntry:
    """The event of an invitation that is open no more."""
    data = {"organization_id": organization_id, "invitation": {**_shown(row), "status": "revoked"}}
    return create_entry(context, InvitationRevoked, row["id"], data)


async def revoked_with(
    conn: Connection, request: Request[Any, Any], organization_id: str
) -> list[OutboxEntry]:
    """The events of what was pending in an organization that is held and goes, the rest with it."""
    scope = {"tenant_id": request.tenant, "organization_id": organization_id}
    rows = await DELETE_PENDING.fetch_all(conn, **scope, now=datetime.now(UTC))
    rows.sort(key=lambda row: str(row["id"]))
    return [revocation(request.context, organization_id, row) for row in rows]
