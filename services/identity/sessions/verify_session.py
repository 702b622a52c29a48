"""Verifies an access token: its signature, whether its session is still live, and whether the user
is still a member of the organization that it names.

One read and no write: that the session was used is collected, and written with others.
"""

from datetime import UTC, datetime
from typing import Any

from chassis.database import Pool
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.ids import is_id
from contracts.sessions import VerifySession
from sqlalchemy import bindparam, select
from sqlmodel import SQLModel

from identity.last_active import LastActive
from identity.sessions.access_tokens import AccessTokens, decode_unverified
from identity.sessions.sessions import COLUMNS, to_session
from identity.tables import MEMBERS, ORGANIZATIONS, SESSIONS, USERS


class SessionWithUser(SQLModel):
    """A session, the status of its user, and the user's role in its organization, if the user is a
    member of it: the rows of a join, not a table.
    """

    user_id: str
    project_id: str
    status: str
    expires_at: datetime
    user_status: str
    role: str | None


# Of an organization that is deleted, memberships may be left.
_MEMBERSHIPS = MEMBERS.join(
    ORGANIZATIONS,
    (ORGANIZATIONS.c.tenant_id == MEMBERS.c.tenant_id)
    & (ORGANIZATIONS.c.id == MEMBERS.c.organization_id),
)
GET_SESSION = Statement(
    select(*COLUMNS, SESSIONS.c.user_id, USERS.c.status.label("user_status"), MEMBERS.c.role)
    .select_from(SESSIONS)
    .join(
        USERS,
        (USERS.c.tenant_id == SESSIONS.c.tenant_id) & (USERS.c.id == SESSIONS.c.user_id),
    )
    .outerjoin(
        _MEMBERSHIPS,
        (MEMBERS.c.tenant_id == SESSIONS.c.tenant_id)
        & (MEMBERS.c.organization_id == SESSIONS.c.organization_id)
        & (MEMBERS.c.user_id == SESSIONS.c.user_id),
    )
    .where(SESSIONS.c.tenant_id == bindparam("tenant_id"), SESSIONS.c.id == bindparam("id")),
    SessionWithUser,
)


@read_only(on_pool=True)
async def verify_session(
    pool: Pool, request: Request[VerifySession], *, tokens: AccessTokens, last_active: LastActive
) -> Reply:
    """Only tokens of the caller's tenant are valid; keys are fetched only for a session's project.

    No connection is held while projects is called for the keys.
    """
    token = request.body.token
    decoded = decode_unverified(token)
    if decoded is None:
        return _reply(request, "invalid")
    kid, claims = decoded
    session_id = claims.get("sid")
    if not isinstance(session_id, str) or not is_id("ses", session_id):
        return _reply(request, "invalid")
    row = await GET_SESSION.fetch_one(pool, tenant_id=request.tenant, id=session_id)
    if row is None or (claims.get("tid"), claims.get("sub")) != (request.tenant, row.user_id):
        return _reply(request, "invalid")
    if not await tokens.is_signed(request.context, row.project_id, kid, token):
        return _reply(request, "invalid")
    now = datetime.now(UTC)
    session = to_session(row, now)
    code = _code(row.user_status, session["status"], claims["exp"] <= now.timestamp())
    if code == "valid":
        last_active.add(request.tenant, session_id, now)
    return _reply(request, code, _claims_today(claims, row.role), session)


def _claims_today(claims: dict[str, Any], role: str | None) -> dict[str, Any]:
    """The claims with the role of today; without the organization if the user has left it."""
    if "org_id" not in claims:
        return claims
    if role is not None:
        return {**claims, "role": role}
    return {name: value for name, value in claims.items() if name not in ("org_id", "role")}


def _code(user_status: str, session_status: str, is_token_expired: bool) -> str:
    if user_status == "suspended":
        return "user_suspended"
    if session_status == "revoked":
        return "revoked"
    return "expired" if is_token_expired or session_status == "expired" else "valid"


def _reply(
    request: Request[VerifySession],
    code: str,
    claims: dict[str, Any] | None = None,
    session: dict[str, Any] | None = None,
) -> Reply:
    value = {"valid": code == "valid", "code": code, "claims": claims, "session": session}
    return reply_to(request, value)
