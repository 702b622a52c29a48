"""Refresh tokens: each works once; an old one in anybody's hands ends the session.

RFC 9700 4.14.2. Of two requests with one token the first wins and the other one is a reuse, however
near they are: a client that repeats a lost request sends the same Idempotency-Key.
"""

from datetime import UTC, datetime
from typing import Any

from chassis.database import TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import problem_reply
from contracts.problems import Problem
from contracts.sessions import RefreshSession
from sqlalchemy import bindparam, select, update

from identity import refresh_tokens, sessions
from identity.activity import end_after
from identity.projects import Projects
from identity.signing_in import claims_of, family_hash, token_hash, tokens
from identity.tables import MEMBERS, SESSIONS

_LIVE = (
    SESSIONS.c.status == "active",
    SESSIONS.c.expires_at > bindparam("now", type_=TIME),
)

# Of no tenant: the caller has nothing but the token, and the hash is unique among all tenants.
BY_FAMILY = Statement(
    select(
        SESSIONS.c.tenant_id,
        SESSIONS.c.id,
        SESSIONS.c.user_id,
        SESSIONS.c.project_id,
        SESSIONS.c.organization_id,
        SESSIONS.c.refresh_hash,
        MEMBERS.c.role,
    )
    .select_from(SESSIONS)
    .outerjoin(
        MEMBERS,
        (MEMBERS.c.tenant_id == SESSIONS.c.tenant_id)
        & (MEMBERS.c.user_id == SESSIONS.c.user_id)
        & (MEMBERS.c.organization_id == SESSIONS.c.organization_id),
    )
    .where(SESSIONS.c.family_hash == bindparam("family_hash"), *_LIVE)
)
ROTATE = Statement(
    update(SESSIONS)
    .where(
        SESSIONS.c.tenant_id == bindparam("tenant_id"),
        SESSIONS.c.id == bindparam("session_id"),
        SESSIONS.c.refresh_hash == bindparam("old_hash"),
        *_LIVE,
    )
    .values(
        refresh_hash=bindparam("new_hash", type_=SESSIONS.c.refresh_hash.type),
        last_active_at=bindparam("now", type_=TIME),
        expires_at=end_after(bindparam("now", type_=TIME)),
    )
)


async def refresh(
    conn: Connection, request: Request[RefreshSession], *, projects: Projects
) -> Reply:
    """Two statements and a signature. One and the same 401, whatever is wrong with the token."""
    token, now = request.body.refresh_token, datetime.now(UTC)
    family = refresh_tokens.family_of(token)
    if family is None:
        raise _refused()
    row = await BY_FAMILY.fetch_one(conn, family_hash=family_hash(request.keys, family), now=now)
    if row is None:
        raise _refused()
    old = token_hash(request.keys, token)
    if row["refresh_hash"] != old:
        return await _reused(conn, request, row)
    try:
        signed = await projects.sign(
            request.context, row["tenant_id"], row["project_id"], claims_of(row, row["role"])
        )
    except Problem as problem:
        raise _refused() if problem.code == "not_found" else problem from None
    fresh = refresh_tokens.new_token(family)
    rotated = await ROTATE.execute(
        conn,
        tenant_id=row["tenant_id"],
        session_id=row["id"],
        old_hash=old,
        new_hash=token_hash(request.keys, fresh),
        now=now,
    )
    if not rotated:
        return await _reused(conn, request, row)
    return reply_to(request, tokens(signed, fresh))


async def _reused(conn: Connection, request: Request[RefreshSession], row: Any) -> Reply:
    """Answers the refusal rather than raise it: the revocation is to be committed."""
    one = {name: row[name] for name in ("tenant_id", "user_id", "id")}
    await sessions.end(conn, request.context, one, "refresh_token_reused")
    return problem_reply(_refused(), request)


def _refused() -> Problem:
    return Problem(
        "unauthenticated", "The refresh token is not valid any more. Have the user sign in again."
    )
