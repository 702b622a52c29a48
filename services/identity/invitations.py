"""Invitations: made, listed, resent, revoked, accepted once.

`expired` is derived: pending, and past its time. The token leaves once; its keyed hash stays.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from chassis.ask import Ask, Reply, answer
from chassis.database import TIME, Connection, violated
from chassis.listing import Listing, given
from chassis.statements import Statement, parameters
from contracts.ids import new_id
from contracts.models import Body
from contracts.organizations import (
    AcceptInvitation,
    InvitationAccepted,
    InvitationCreated,
    InvitationResent,
    InvitationRevoked,
    InvitationsQuery,
    NewInvitation,
)
from contracts.problems import Problem, not_found
from outbox.record import Recorded, event, record_all, recording
from sqlalchemy import and_, bindparam, case, exists, func, insert, select, update

from identity import members, users
from identity.tables import INVITATIONS, MEMBERS, USERS

STATUS = case(
    (
        and_(INVITATIONS.c.status == "pending", INVITATIONS.c.expires_at <= func.now()),
        "expired",
    ),
    else_=INVITATIONS.c.status,
).label("status")
_HIDDEN = ("tenant_id", "organization_id", "email_key", "token_hash", "lifetime")
_STORED = [column for column in INVITATIONS.c if column.name != "email_key"]
_COLUMNS = [
    STATUS if column.name == "status" else column
    for column in INVITATIONS.c
    if column.name not in _HIDDEN
]
_OF_ORGANIZATION = (
    INVITATIONS.c.tenant_id == bindparam("tenant_id"),
    INVITATIONS.c.organization_id == bindparam("organization_id"),
)
_ONE = (*_OF_ORGANIZATION, INVITATIONS.c.id == bindparam("id"))

IS_MEMBER = Statement(
    select(
        exists().where(
            MEMBERS.c.tenant_id == bindparam("tenant_id"),
            MEMBERS.c.organization_id == bindparam("organization_id"),
            USERS.c.tenant_id == MEMBERS.c.tenant_id,
            USERS.c.id == MEMBERS.c.user_id,
            USERS.c.email_key == func.lower(bindparam("email")),
        )
    )
)
CLOSE_EXPIRED = Statement(
    update(INVITATIONS)
    .where(
        *_OF_ORGANIZATION,
        INVITATIONS.c.email_key == func.lower(bindparam("email")),
        INVITATIONS.c.status == "pending",
        INVITATIONS.c.expires_at <= bindparam("now", type_=TIME),
    )
    .values(status="revoked")
    .returning(*(column for column in INVITATIONS.c if column.name not in _HIDDEN))
)
CLOSE_PENDING = Statement(
    update(INVITATIONS)
    .where(*_OF_ORGANIZATION, INVITATIONS.c.status == "pending")
    .values(status="revoked")
    .returning(*(column for column in INVITATIONS.c if column.name not in _HIDDEN))
)
INSERT = Statement(
    recording(
        insert(INVITATIONS).values(parameters(_STORED)).returning(INVITATIONS.c.id).cte("changed")
    )
)
LOCK = Statement(select(*_COLUMNS, INVITATIONS.c.lifetime).where(*_ONE).with_for_update())
UPDATE = Statement(
    recording(
        update(INVITATIONS)
        .where(*_ONE)
        .values(status=bindparam("new_status"), accepted_at=bindparam("new_accepted_at"))
        .returning(INVITATIONS.c.id)
        .cte("changed")
    )
)
RENEW = Statement(
    recording(
        update(INVITATIONS)
        .where(*_ONE)
        .values(token_hash=bindparam("new_token_hash"), expires_at=bindparam("new_expires_at"))
        .returning(INVITATIONS.c.id)
        .cte("changed")
    )
)
# Of no tenant: the token decides which.
BY_TOKEN = Statement(
    select(INVITATIONS.c.tenant_id, INVITATIONS.c.organization_id, *_COLUMNS)
    .where(INVITATIONS.c.token_hash == bindparam("token_hash"))
    .with_for_update()
)
USER_BY_EMAIL = Statement(
    select(USERS.c.id, USERS.c.email, USERS.c.name).where(
        USERS.c.tenant_id == bindparam("tenant_id"),
        USERS.c.email_key == func.lower(bindparam("email")),
    )
)

LIST = Listing(
    source=INVITATIONS,
    columns=_COLUMNS,
    key=INVITATIONS.c.id,
    scope={"tenant_id": INVITATIONS.c.tenant_id, "organization_id": INVITATIONS.c.organization_id},
    filters={"status": lambda status: STATUS.element == status},
)


def _new_token() -> str:
    """256 random bits."""
    return f"inv_{secrets.token_urlsafe(32)}"


def _hashed(ask: Ask[Any, Any], token: str) -> str:
    return ask.keys.hash("invitation", token)


async def create(conn: Connection, ask: Ask[NewInvitation]) -> Reply:
    new, now = ask.body, datetime.now(UTC)
    scope = {"tenant_id": ask.tenant, "organization_id": ask.path["id"]}
    if await members.LOCK_ORGANIZATION.row(conn, **scope) is None:
        raise not_found()
    if await IS_MEMBER.value(conn, **scope, email=new.email):
        raise Problem("already_member", "A member of this organization has this email.")
    closed = await CLOSE_EXPIRED.rows(conn, **scope, email=new.email, now=now)
    await record_all(conn, [_revoked(ask, scope["organization_id"], each) for each in closed])
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
    try:
        await INSERT.row(
            conn,
            **scope,
            **row,
            token_hash=_hashed(ask, token),
            lifetime=new.expires_in,
            **created.parameters(),
        )
    except asyncpg.UniqueViolationError as error:
        if violated(error) != "invitations_pending_key":
            raise
        raise Problem(
            "invitation_pending", "This email has a pending invitation. Resend or revoke it."
        ) from None
    return answer(ask, {**row, "token": token}, created=row["id"])


async def find_all(conn: Connection, ask: Ask[Body, InvitationsQuery]) -> Reply:
    scope = {"tenant_id": ask.tenant, "organization_id": ask.path["id"]}
    if await members.FIND_ORGANIZATION.row(conn, **scope) is None:
        raise not_found()
    rows, pagination = await LIST.page(conn, ask, scope, given(ask.query))
    return answer(ask, {"invitations": rows, "pagination": pagination})


async def _locked(
    conn: Connection, ask: Ask[Any, Any]
) -> tuple[dict[str, Any], dict[str, str], int]:
    """The invitation as shown, which one it is, and its lifetime."""
    scope = {
        "tenant_id": ask.tenant,
        "organization_id": ask.path["id"],
        "id": ask.path["inv_id"],
    }
    row = await LOCK.row(conn, **scope)
    if row is None:
        raise not_found()
    shown = dict(row)
    return shown, scope, shown.pop("lifetime")


async def revoke(conn: Connection, ask: Ask) -> Reply:
    row, scope, _ = await _locked(conn, ask)
    if row["status"] == "revoked":
        raise not_found()
    if row["status"] == "accepted":
        raise Problem("invitation_closed", "The invitation was accepted already.", status=409)
    revoked = _revoked(ask, ask.path["id"], {**row, "status": "revoked"})
    await UPDATE.row(
        conn, **scope, new_status="revoked", new_accepted_at=None, **revoked.parameters()
    )
    return answer(ask)


def _revoked(ask: Ask[Any, Any], organization_id: str, row: Mapping[str, Any]) -> Recorded:
    data = {"organization_id": organization_id, "invitation": dict(row)}
    return event(ask.context, InvitationRevoked, row["id"], data)


async def revoked_with(
    conn: Connection, ask: Ask[Any, Any], organization_id: str
) -> list[Recorded]:
    """Revokes what is pending in an organization that goes; answers the events."""
    rows = await CLOSE_PENDING.rows(conn, tenant_id=ask.tenant, organization_id=organization_id)
    return [_revoked(ask, organization_id, row) for row in rows]


async def resend(conn: Connection, ask: Ask) -> Reply:
    """A new token and as long a time as before; the old token is dead."""
    row, scope, lifetime = await _locked(conn, ask)
    if row["status"] not in ("pending", "expired"):
        raise Problem(
            "invitation_closed", f"The invitation is {row['status']}. Make another.", status=409
        )
    token, expires_at = _new_token(), datetime.now(UTC) + timedelta(seconds=lifetime)
    renewed = {**row, "status": "pending", "expires_at": expires_at}
    data = {"organization_id": ask.path["id"], "invitation": renewed}
    resent = event(ask.context, InvitationResent, row["id"], data)
    await RENEW.row(
        conn,
        **scope,
        new_token_hash=_hashed(ask, token),
        new_expires_at=renewed["expires_at"],
        **resent.parameters(),
    )
    return answer(ask, {**renewed, "token": token})


async def accept(conn: Connection, ask: Ask[AcceptInvitation]) -> Reply:
    """The token alone decides tenant, organization and email; it works once."""
    row = await BY_TOKEN.row(conn, token_hash=_hashed(ask, ask.body.token))
    if row is None or row["status"] != "pending":
        raise Problem(
            "invitation_closed", "The invitation is not open any more. Ask for another one."
        )
    tenant_id = row["tenant_id"]
    context = ask.context.model_copy(update={"tenant_id": tenant_id})
    user = await USER_BY_EMAIL.row(conn, tenant_id=tenant_id, email=row["email"])
    if user is None:
        user = await users.new_user(conn, context, tenant_id, row["email"], ask.body.name)
    context.actor_type, context.actor_id = "user", user["id"]
    member = await members.join(
        conn,
        context,
        tenant_id,
        row["organization_id"],
        user,
        row["role"],
        row["permissions"],
    )
    now = datetime.now(UTC)
    shown = {
        name: value for name, value in row.items() if name not in ("tenant_id", "organization_id")
    }
    accepted = event(
        context,
        InvitationAccepted,
        row["id"],
        {
            "organization_id": row["organization_id"],
            "invitation": {**shown, "status": "accepted", "accepted_at": now},
            "user_id": user["id"],
        },
    )
    await UPDATE.row(
        conn,
        tenant_id=tenant_id,
        organization_id=row["organization_id"],
        id=row["id"],
        new_status="accepted",
        new_accepted_at=now,
        **accepted.parameters(),
    )
    return answer(ask, {"organization_id": row["organization_id"], "member": member})
