"""Verifying an access token: its signature, and what has become of its session since.

One read and no write: that the session was used is noted, and written with others.
"""

from datetime import UTC, datetime
from typing import Any

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.ids import is_id
from contracts.sessions import VerifySession
from sqlalchemy import bindparam, select

from identity import access_tokens, sessions
from identity.access_tokens import AccessTokens
from identity.activity import Activity
from identity.tables import SESSIONS, USERS

FIND = Statement(
    select(*sessions.COLUMNS, SESSIONS.c.user_id, USERS.c.status.label("user_status"))
    .join(
        USERS,
        (USERS.c.tenant_id == SESSIONS.c.tenant_id) & (USERS.c.id == SESSIONS.c.user_id),
    )
    .where(SESSIONS.c.tenant_id == bindparam("tenant_id"), SESSIONS.c.id == bindparam("id"))
)


async def verify(
    conn: Connection, request: Request[VerifySession], *, tokens: AccessTokens, activity: Activity
) -> Reply:
    """Only tokens of the caller's tenant verify; a key set is asked for only where one is named."""
    read = access_tokens.read(request.body.token)
    if read is None:
        return _verdict(request, "invalid")
    kid, claims = read
    session_id = claims.get("sid")
    if not isinstance(session_id, str) or not is_id("ses", session_id):
        return _verdict(request, "invalid")
    row = await FIND.fetch_one(conn, tenant_id=request.tenant, id=session_id)
    if row is None or (claims.get("tid"), claims.get("sub")) != (request.tenant, row["user_id"]):
        return _verdict(request, "invalid")
    if not await tokens.is_signed(request.context, row["project_id"], kid, request.body.token):
        return _verdict(request, "invalid")
    now = datetime.now(UTC)
    session = sessions.shown(row, now)
    code = _code(row["user_status"], session["status"], claims["exp"] <= now.timestamp())
    if code == "valid":
        activity.note(request.tenant, session_id, now)
    return _verdict(request, code, claims, session)


def _code(user_status: str, session_status: str, is_late: bool) -> str:
    if user_status == "suspended":
        return "user_suspended"
    if session_status == "revoked":
        return "revoked"
    return "expired" if is_late or session_status == "expired" else "valid"


def _verdict(
    request: Request[VerifySession],
    code: str,
    claims: dict[str, Any] | None = None,
    session: dict[str, Any] | None = None,
) -> Reply:
    value = {"valid": code == "valid", "code": code, "claims": claims, "session": session}
    return reply_to(request, value)
