"""Invitations: made, listed, revoked, resent; one at most is pending for an email.

A pending one past its time reads expired. It is stored so when another takes its place. The token
leaves once; its keyed hash stays.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from chassis.ask import Ask, Reply, answer
from chassis.database import TIME, Connection, violated
from chassis.keys import Keys
from chassis.listing import Listing, given
from chassis.statements import Statement, parameters
from contracts.context import Context
from contracts.ids import new_id
from contracts.invitations import (
    Invitation,
    InvitationCreated,
    InvitationResent,
    InvitationRevoked,
    InvitationsQuery,
    NewInvitation,
)
from contracts.models import Body
from contracts.problems import Problem, not_found
from outbox.record import Recorded, event, recording
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
    recording(
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
    recording(
        update(INVITATIONS)
        .where(*_ONE)
        .values(status=bindparam("new_status", type_=Text))
        .returning(INVITATIONS.c.id)
        .cte("changed")
    )
)
RENEW = Statement(
    recording(
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


def hashed(keys: Keys, token: str) -> str:
    """What is stored of a token."""
    return keys.hash("invitation", token)


def _new_token() -> str:
    """256 random bits."""
    return f"inv_{secrets.token_urlsafe(32)}"


async def create(conn: Connection, ask: Ask[NewInvitation]) -> Reply:
    new, now = ask.body, datetime.now(UTC)
    scope = {"tenant_id": ask.tenant, "organization_id": ask.path["id"]}
    organization = await LOOK.row(conn, **scope, email=new.email)
    if organization is None:
        raise not_found()
    if organization["is_member"]:
        raise Problem("already_member", "A member of this organization has this email.")
    await CLOSE_EXPIRED.run(conn, **scope, email=new.email, now=now)
    token = _new_token()
    row: dict[str, Any] = {
        "id": new_id("inv"),
        "email": new.email,
        "role": new.role,
        "permissions": new.permissions,
        "status": "pending",
        "invited_by": ask.context.actor_id,
        "expires_at": now + timedelta(seconds=new.expires_in),
        "created_at": now,
        "accepted_at": None,
    }
    data = {"organization_id": scope["organization_id"], "invitation": row}
    created = event(ask.context, InvitationCreated, row["id"], data)
    stored = {**row, "token_hash": hashed(ask.keys, token), "lifetime": new.expires_in}
    try:
        await INSERT.row(conn, **scope, **stored, **created.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _pending(error) from None
    return answer(ask, {**row, "token": token}, created=row["id"])


def _pending(error: asyncpg.UniqueViolationError) -> Problem:
    if violated(error) != "invitations_pending_key":
        raise error
    return Problem(
        "invitation_pending", "This email has a pending invitation. Resend or revoke it."
    )


async def find_all(conn: Connection, ask: Ask[Body, InvitationsQuery]) -> Reply:
    scope = {"tenant_id": ask.tenant, "organization_id": ask.path["id"]}
    values = {**scope, "now": datetime.now(UTC)}
    rows, pagination = await LIST.page(conn, ask, values, given(ask.query))
    if not rows and await members.FIND_ORGANIZATION.row(conn, **scope) is None:
        raise not_found()
    return answer(ask, {"invitations": rows, "pagination": pagination})


async def _locked(conn: Connection, ask: Ask[Any, Any], now: datetime) -> Mapping[str, Any]:
    row: Mapping[str, Any] | None = await LOCK.row(conn, **_scope(ask), now=now)
    if row is None:
        raise not_found()
    return row


def _scope(ask: Ask[Any, Any]) -> dict[str, str]:
    return {
        "tenant_id": ask.tenant,
        "organization_id": ask.path["id"],
        "id": ask.path["inv_id"],
    }


async def revoke(conn: Connection, ask: Ask) -> Reply:
    """Expired ones too: they could be sent again otherwise."""
    row = await _locked(conn, ask, datetime.now(UTC))
    if row["status"] == "revoked":
        raise not_found()
    if row["status"] == "accepted":
        raise Problem("invitation_closed", "The invitation was accepted already.", status=409)
    revoked = revocation(ask.context, ask.path["id"], row)
    await REVOKE.row(conn, **_scope(ask), new_status="revoked", **revoked.parameters())
    return answer(ask)


async def resend(conn: Connection, ask: Ask) -> Reply:
    """A new token, and as long a time as before; the old token is dead."""
    now = datetime.now(UTC)
    row = await _locked(conn, ask, now)
    if row["status"] not in ("pending", "expired"):
        raise Problem(
            "invitation_closed", f"The invitation is {row['status']}. Make another.", status=409
        )
    token, expires_at = _new_token(), now + timedelta(seconds=row["lifetime"])
    renewed = {**_shown(row), "status": "pending", "expires_at": expires_at}
    data = {"organization_id": ask.path["id"], "invitation": renewed}
    resent = event(ask.context, InvitationResent, row["id"], data)
    try:
        await RENEW.row(
            conn,
            **_scope(ask),
            new_status="pending",
            new_token_hash=hashed(ask.keys, token),
            new_expires_at=expires_at,
            **resent.parameters(),
        )
    except asyncpg.UniqueViolationError as error:
        raise _pending(error) from None
    return answer(ask, {**renewed, "token": token})


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Invitation.model_fields if name in row}


def revocation(context: Context, organization_id: str, row: Mapping[str, Any]) -> Recorded:
    """The event of an invitation that is open no more."""
    data = {"organization_id": organization_id, "invitation": {**_shown(row), "status": "revoked"}}
    return event(context, InvitationRevoked, row["id"], data)


async def revoked_with(
    conn: Connection, ask: Ask[Any, Any], organization_id: str
) -> list[Recorded]:
    """The events of what was pending in an organization that is held and goes, the rest with it."""
    scope = {"tenant_id": ask.tenant, "organization_id": organization_id}
    rows = await DELETE_PENDING.rows(conn, **scope, now=datetime.now(UTC))
    rows.sort(key=lambda row: str(row["id"]))
    return [revocation(ask.context, organization_id, row) for row in rows]
