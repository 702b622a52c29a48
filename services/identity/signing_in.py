"""Sessions begin: the user signs in with a project, and one statement writes what that changes.

The statement holds the user's row, as whoever suspends the user does: no session comes after.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.encryption import Keyring
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.ids import new_id
from contracts.problems import Problem, invalid, not_found
from contracts.sessions import CreateSession, SessionCreated
from contracts.signing_keys import SignedToken
from outbox.record import create_entry, with_outbox_entry
from sqlalchemy import bindparam, insert, select, update

from identity import refresh_tokens, sessions
from identity.projects import Projects
from identity.tables import MEMBERS, SESSIONS, USERS

LOOK = Statement(
    select(USERS.c.status, MEMBERS.c.role)
    .select_from(USERS)
    .outerjoin(
        MEMBERS,
        (MEMBERS.c.tenant_id == USERS.c.tenant_id)
        & (MEMBERS.c.user_id == USERS.c.id)
        & (MEMBERS.c.organization_id == bindparam("organization_id", type_=ID)),
    )
    .where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
)
_signed_in = (
    update(USERS)
    .where(
        USERS.c.tenant_id == bindparam("tenant_id"),
        USERS.c.id == bindparam("user_id"),
        USERS.c.status == "active",
    )
    .values(last_sign_in_at=bindparam("now", type_=TIME))
    .returning(USERS.c.id)
    .cte("signed_in")
)
_row = [bindparam(each.name, type_=each.type).label(each.name) for each in SESSIONS.c]
BEGIN = Statement(
    with_outbox_entry(
        insert(SESSIONS)
        .from_select([each.name for each in SESSIONS.c], select(*_row).select_from(_signed_in))
        .returning(SESSIONS.c.id)
        .cte("changed")
    )
)
"""Begins nothing where the user is not active."""


async def create(conn: Connection, request: Request[CreateSession], *, projects: Projects) -> Reply:
    """Two statements and a signature. How long the session lives is for the project to say."""
    new, user_id = request.body, request.path["id"]
    user = await LOOK.fetch_one(
        conn, tenant_id=request.tenant, user_id=user_id, organization_id=new.organization_id
    )
    if user is None:
        raise not_found()
    if user["status"] == "suspended":
        raise _suspended()
    if new.organization_id is not None and user["role"] is None:
        raise invalid("organization_id", "must be one that the user is a member of")
    row = {"tenant_id": request.tenant, "id": new_id("ses"), "user_id": user_id} | new.model_dump()
    signed = await _signed(request, row, user["role"], projects)
    now = datetime.now(UTC)
    family = refresh_tokens.new_family()
    token = refresh_tokens.new_token(family)
    ends_at = now + timedelta(seconds=signed.refresh_token_ttl)
    row |= {
        "status": "active",
        "created_at": now,
        "last_active_at": now,
        "expires_at": min(ends_at, now + timedelta(seconds=signed.session_idle_timeout)),
        "ends_at": ends_at,
        "idle_timeout": signed.session_idle_timeout,
        "family_hash": family_hash(request.keys, family),
        "refresh_hash": token_hash(request.keys, token),
    }
    session = sessions.shown(row, now)
    begun = create_entry(
        request.context, SessionCreated, row["id"], {"user_id": user_id, "session": session}
    )
    if await BEGIN.fetch_one(conn, **row, now=now, **begun.parameters()) is None:
        raise _suspended()
    return reply_to(request, {"session": session, **tokens(signed, token)}, created=row["id"])


async def _signed(
    request: Request[CreateSession], row: dict[str, Any], role: str | None, projects: Projects
) -> SignedToken:
    try:
        return await projects.sign(
            request.context, request.tenant, request.body.project_id, claims_of(row, role)
        )
    except Problem as problem:
        if problem.code == "not_found":
            raise invalid("project_id", "must be a project of the tenant") from None
        raise


def claims_of(row: Any, role: str | None) -> dict[str, Any]:
    """What a session says of its user; the organization only as long as the user is a member."""
    claims = {
        "sub": row["user_id"],
        "sid": row["id"],
        "tid": row["tenant_id"],
        "jti": new_id("jti"),
    }
    if role is not None:
        claims |= {"org_id": row["organization_id"], "role": role}
    return claims


def tokens(signed: SignedToken, refresh_token: str) -> dict[str, Any]:
    """What a client gets."""
    return {
        "access_token": signed.token,
        "refresh_token": refresh_token,
        "token_type": "Bearer",
        "expires_in": signed.expires_in,
    }


def family_hash(keys: Keyring, family: str) -> str:
    return keys.hash("refresh_family", family)


def token_hash(keys: Keyring, token: str) -> str:
    return keys.hash("refresh_token", token)


def _suspended() -> Problem:
    return Problem("user_suspended", "The user is suspended. Reactivate the user first.")
