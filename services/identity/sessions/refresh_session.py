"""Refreshes a session: each refresh token works once, and an old one revokes its session.

RFC 9700 4.14.2. Of two requests with the same token the first wins and the other one is a reuse,
even at the same moment: a client that repeats a lost request sends the same Idempotency-Key.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.database import TIME, Connection, Pool
from chassis.request import Reply, Request, problem_reply, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import single_statement
from contracts.problems import Problem
from contracts.sessions import RefreshSession
from contracts.signing_keys import SignedToken
from sqlalchemy import bindparam, exists, select, update
from sqlmodel import SQLModel

from identity.cascades import ORGANIZATION_OF_MEMBER, USER_OF_SESSION
from identity.last_active import expires_at_after
from identity.projects_client import ProjectsClient
from identity.sessions import refresh_tokens
from identity.sessions.create_session import create_claims, to_tokens
from identity.sessions.sessions import IS_LIVE, revoke_one
from identity.tables import MEMBERS, ORGANIZATIONS, SESSIONS, USERS


class SessionOfToken(SQLModel):
    """A live session, and the user's role in its organization."""

    tenant_id: str
    id: str
    user_id: str
    project_id: str
    organization_id: str | None
    refresh_hash: str
    role: str | None


# Across tenants: the caller has nothing but the token, and the hash is unique among all tenants.
GET_BY_FAMILY = Statement(
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
    .join(USERS, USER_OF_SESSION)
    .outerjoin(
        MEMBERS.join(ORGANIZATIONS, ORGANIZATION_OF_MEMBER),
        (MEMBERS.c.tenant_id == SESSIONS.c.tenant_id)
        & (MEMBERS.c.user_id == SESSIONS.c.user_id)
        & (MEMBERS.c.organization_id == SESSIONS.c.organization_id),
    )
    .where(SESSIONS.c.family_hash == bindparam("family_hash"), *IS_LIVE),
    SessionOfToken,
)
REPLACE_TOKEN = Statement(
    update(SESSIONS)
    .where(
        SESSIONS.c.tenant_id == bindparam("tenant_id"),
        SESSIONS.c.id == bindparam("session_id"),
        SESSIONS.c.refresh_hash == bindparam("used_hash"),
        *IS_LIVE,
        exists().where(USER_OF_SESSION),
    )
    .values(
        family_hash=bindparam("next_family_hash", type_=SESSIONS.c.family_hash.type),
        refresh_hash=bindparam("next_hash", type_=SESSIONS.c.refresh_hash.type),
        last_active_at=bindparam("now", type_=TIME),
        expires_at=expires_at_after(bindparam("now", type_=TIME)),
    )
)
"""Updates nothing if the token that was used is not the newest any more. What an older hash key has
hashed is hashed by the first one from now on.
"""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The session of the token. `signed` is None if the token is not the newest one."""

    session: SessionOfToken
    family_hash: str
    next_token: str
    signed: SignedToken | None


async def _sign_token(
    pool: Pool, request: Request[RefreshSession], *, projects: ProjectsClient
) -> _Prepared:
    """Raises the same Problem (401) whatever is wrong with the token."""
    token, keyring = request.body.refresh_token, request.keyring
    family = refresh_tokens.family_of(token)
    if family is None:
        raise _invalid_token()
    family_hashes = refresh_tokens.family_hashes(keyring, family)
    session, now = None, datetime.now(UTC)
    for each in family_hashes:
        session = session or await GET_BY_FAMILY.fetch_one(pool, family_hash=each, now=now)
    if session is None:
        raise _invalid_token()
    next_token = refresh_tokens.create_token(family)
    if session.refresh_hash not in refresh_tokens.token_hashes(keyring, token):
        return _Prepared(session, family_hashes[0], next_token, None)
    claims = create_claims(
        tenant_id=session.tenant_id,
        user_id=session.user_id,
        session_id=session.id,
        organization_id=session.organization_id,
        role=session.role,
    )
    try:
        signed = await projects.sign_token(
            request.context, session.tenant_id, session.project_id, claims
        )
    except Problem as problem:
        raise _invalid_token() if problem.code == "not_found" else problem from None
    return _Prepared(session, family_hashes[0], next_token, signed)


@single_statement(prepare=_sign_token)
async def refresh_session(
    conn: Connection, request: Request[RefreshSession], prepared: _Prepared
) -> Reply:
    """One statement changes a row: it replaces the token, or revokes the session."""
    session, signed = prepared.session, prepared.signed
    if signed is not None:
        replaced = await REPLACE_TOKEN.execute(
            conn,
            tenant_id=session.tenant_id,
            session_id=session.id,
            used_hash=session.refresh_hash,
            next_family_hash=prepared.family_hash,
            next_hash=refresh_tokens.token_hashes(request.keyring, prepared.next_token)[0],
            now=datetime.now(UTC),
        )
        if replaced:
            return reply_to(request, to_tokens(signed, prepared.next_token))
    key = {"tenant_id": session.tenant_id, "user_id": session.user_id, "id": session.id}
    await revoke_one(conn, request.context, key, "refresh_token_reused")
    # Returned rather than raised: the revocation is to be committed.
    return problem_reply(_invalid_token(), request.context)


def _invalid_token() -> Problem:
    return Problem(
        "unauthenticated", "The refresh token is not valid any more. Have the user sign in again."
    )
