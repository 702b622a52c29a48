"""Accepting an invitation: the token alone decides; it makes one member, whoever else tries.

What is found by the token is looked at again when its row is held.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chassis.database import TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.context import Context
from contracts.invitations import AcceptInvitation, Invitation, InvitationAccepted
from contracts.problems import Problem
from contracts.users import CreateUser
from outbox.record import create_entry, with_outbox_entry
from sqlalchemy import bindparam, func, select, update

from identity import invitations, joining, members, users
from identity.projects import Projects
from identity.tables import INVITATIONS, USERS

_OPEN = (
    INVITATIONS.c.token_hash == bindparam("token_hash"),
    INVITATIONS.c.status == "pending",
    INVITATIONS.c.expires_at > bindparam("now", type_=TIME),
)

# Of no tenant: the caller has nothing but the token, and the hash is unique among all tenants.
BY_TOKEN = Statement(
    select(
        INVITATIONS.c.tenant_id,
        INVITATIONS.c.organization_id,
        *(INVITATIONS.c[name] for name in Invitation.model_fields),
    ).where(*_OPEN)
)
USER_BY_EMAIL = Statement(
    select(USERS.c.id, USERS.c.email, USERS.c.name, USERS.c.status)
    .where(
        USERS.c.tenant_id == bindparam("tenant_id"),
        USERS.c.email_key == func.lower(bindparam("email")),
    )
    .with_for_update(read=True, key_share=True)
)
CLOSE = Statement(
    with_outbox_entry(
        update(INVITATIONS)
        .where(
            INVITATIONS.c.tenant_id == bindparam("tenant_id"),
            INVITATIONS.c.organization_id == bindparam("organization_id"),
            INVITATIONS.c.id == bindparam("id"),
            *_OPEN,
        )
        .values(status="accepted", accepted_at=bindparam("now", type_=TIME))
        .returning(INVITATIONS.c.id)
        .cte("changed")
    )
)


async def accept(
    conn: Connection, request: Request[AcceptInvitation], *, projects: Projects
) -> Reply:
    now = datetime.now(UTC)
    token = {"token_hash": invitations.hashed(request.keys, request.body.token), "now": now}
    row = await BY_TOKEN.fetch_one(conn, **token)
    if row is None:
        raise _closed()
    invitation = dict(row)
    scope = {name: invitation.pop(name) for name in ("tenant_id", "organization_id")}
    if not await projects.has_tenant(request.context, scope["tenant_id"]):
        raise _closed()
    context = replace(request.context, tenant_id=scope["tenant_id"])
    user = await _user(conn, context, CreateUser(email=row["email"], name=request.body.name), now)
    context.actor_type, context.actor_id = "user", user["id"]
    await members.LOCK_ORGANIZATION.fetch_one(conn, **scope)
    data = {
        "organization_id": scope["organization_id"],
        "invitation": {**invitation, "status": "accepted", "accepted_at": now},
        "user_id": user["id"],
    }
    accepted = create_entry(context, InvitationAccepted, row["id"], data)
    if await CLOSE.fetch_one(conn, **scope, **token, id=row["id"], **accepted.parameters()) is None:
        raise _closed()
    member = await joining.join(
        conn,
        context,
        scope["organization_id"],
        user,
        role=row["role"],
        permissions=row["permissions"],
    )
    return reply_to(request, {"organization_id": scope["organization_id"], "member": member})


async def _user(
    conn: Connection, context: Context, new: CreateUser, now: datetime
) -> Mapping[str, Any]:
    """The user of the email, held; a new one if there is none, verified by having the token."""
    by_email = {"tenant_id": context.tenant(), "email": new.email}
    found: Mapping[str, Any] | None = await USER_BY_EMAIL.fetch_one(conn, **by_email)
    if found is None:
        row = users.new_row(new.model_copy(update={"email_verified": True}), now)
        acting = replace(context, actor_type="user", actor_id=row["id"])
        created = users.created(acting, row).parameters()
        await users.INSERT_IF_NEW.fetch_one(conn, tenant_id=context.tenant(), **row, **created)
        # Ours, or that of another invitation which was faster.
        found = await USER_BY_EMAIL.fetch_one(conn, **by_email)
    if found is None:
        raise _closed()  # deleted meanwhile, and with it what it was invited to
    if found["status"] == "suspended":
        raise Problem("user_suspended", "The user of this email is suspended.")
    return found


def _closed() -> Problem:
    return Problem("invitation_closed", "The invitation is not open any more. Ask for another one.")
