"""Creates a session: a user signs in to a project.

The statement that inserts the session updates the user's row if the user is active, so a user who
is suspended meanwhile gets no session. Projects signs the token before, with no connection held.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.database import ID, Connection, Pool
from chassis.request import Reply, Request, reply_to
from chassis.rows import new_row
from chassis.statements import Statement, parameters
from chassis.unit_of_work import single_statement
from contracts.ids import new_id
from contracts.problems import Problem, invalid, not_found
from contracts.sessions import CreateSession, SessionCreated
from contracts.signing_keys import SignedToken
from outbox.record import create_entry, record, with_outbox_entry
from sqlalchemy import bindparam, exists, insert, select, update
from sqlmodel import SQLModel

from identity.cascades import ORGANIZATION_OF_MEMBER
from identity.projects_client import ProjectsClient
from identity.sessions import refresh_tokens
from identity.sessions.sessions import IS_LIVE, revoke_oldest_of_user, to_session
from identity.tables import MEMBERS, ORGANIZATIONS, SESSIONS, USERS, SessionRow


class UserWithRole(SQLModel):
    """A user, the role in the organization that the session is for, and whether the user has all
    the sessions that one may have.
    """

    status: str
    role: str | None
    is_full: bool


@dataclass(frozen=True, slots=True)
class _Prepared:
    """`is_full` as of `UserWithRole`."""

    session_id: str
    signed: SignedToken
    is_full: bool


GET_USER = Statement(
    select(
        USERS.c.status,
        MEMBERS.c.role,
        exists(
            select(SESSIONS.c.id)
            .where(
                SESSIONS.c.tenant_id == USERS.c.tenant_id,
                SESSIONS.c.user_id == USERS.c.id,
                *IS_LIVE,
            )
            .offset(bindparam("others"))
            .limit(1)
        ).label("is_full"),
    )
    .select_from(USERS)
    .outerjoin(
        MEMBERS.join(ORGANIZATIONS, ORGANIZATION_OF_MEMBER),
        (MEMBERS.c.tenant_id == USERS.c.tenant_id)
        & (MEMBERS.c.user_id == USERS.c.id)
        & (MEMBERS.c.organization_id == bindparam("organization_id", type_=ID)),
    )
    .where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id")),
    UserWithRole,
)
_values = parameters(SESSIONS.c)
_signed_in = (
    update(USERS)
    .where(
        USERS.c.tenant_id == bindparam("tenant_id"),
        USERS.c.id == bindparam("user_id"),
        USERS.c.status == "active",
    )
    .values(last_sign_in_at=_values["created_at"])
    .returning(USERS.c.id)
    .cte("signed_in")
)
CREATE = Statement(
    with_outbox_entry(
        insert(SESSIONS)
        .from_select(
            list(_values),
            select(*(value.label(name) for name, value in _values.items())).select_from(_signed_in),
        )
        .returning(SESSIONS.c.id)
        .cte("changed")
    )
)
"""Inserts nothing if the user is not active."""


async def _sign_token(
    pool: Pool, request: Request[CreateSession], *, projects: ProjectsClient
) -> _Prepared:
    """The id of the new session, and its access token. Projects says how long the session lives."""
    new, user_id = request.body, request.path["id"]
    user = await GET_USER.fetch_one(
        pool,
        tenant_id=request.tenant,
        user_id=user_id,
        organization_id=new.organization_id,
        others=_others(request),
        now=datetime.now(UTC),
    )
    if user is None:
        raise not_found()
    if user.status == "suspended":
        raise _suspended()
    if new.organization_id is not None and user.role is None:
        raise invalid("organization_id", "must be one that the user is a member of")
    session_id = new_id("ses")
    claims = create_claims(
        tenant_id=request.tenant,
        user_id=user_id,
        session_id=session_id,
        organization_id=new.organization_id,
        role=user.role,
    )
    try:
        signed = await projects.sign_token(request.context, request.tenant, new.project_id, claims)
    except Problem as problem:
        if problem.code == "not_found":
            raise invalid("project_id", "must be a project of the tenant") from None
        raise
    return _Prepared(session_id, signed, user.is_full)


def _others(request: Request[CreateSession]) -> int:
    """How many live sessions the user may have beside the new one."""
    return max(request.quota("sessions_per_user") - 1, 0)


@single_statement(when=lambda _, prepared: not prepared.is_full, prepare=_sign_token)
async def create_session(
    conn: Connection, request: Request[CreateSession], prepared: _Prepared
) -> Reply:
    """Revokes the user's oldest sessions if there are more than the quota allows."""
    session_id, signed = prepared.session_id, prepared.signed
    new, user_id, now = request.body, request.path["id"], datetime.now(UTC)
    family = refresh_tokens.create_family()
    refresh_token = refresh_tokens.create_token(family)
    ends_at = now + timedelta(seconds=signed.refresh_token_ttl)
    row = new_row(
        SessionRow,
        tenant_id=request.tenant,
        id=session_id,
        user_id=user_id,
        project_id=new.project_id,
        status="active",
        ip_address=new.ip_address,
        user_agent=new.user_agent,
        created_at=now,
        last_active_at=now,
        expires_at=min(ends_at, now + timedelta(seconds=signed.session_idle_timeout)),
        ends_at=ends_at,
        idle_timeout=signed.session_idle_timeout,
        organization_id=new.organization_id,
        family_hash=refresh_tokens.family_hashes(request.keyring, family)[0],
        refresh_hash=refresh_tokens.token_hashes(request.keyring, refresh_token)[0],
    )
    session = to_session(row, now)
    data = {"user_id": user_id, "session": session}
    entry = create_entry(request.context, SessionCreated, session_id, data)
    if prepared.is_full:
        revoked = await revoke_oldest_of_user(conn, request.context, user_id, _others(request))
        await record(conn, revoked)
    if await CREATE.fetch_one(conn, **vars(row), **entry.parameters()) is None:
        raise _suspended()
    value = {"session": session, **to_tokens(signed, refresh_token)}
    return reply_to(request, value, created=session_id)


def create_claims(
    *, tenant_id: str, user_id: str, session_id: str, organization_id: str | None, role: str | None
) -> dict[str, Any]:
    """What an access token says of its session; projects adds the rest.

    `role` is None if the user is not a member of the organization, or not any more.
    """
    claims = {"sub": user_id, "sid": session_id, "tid": tenant_id, "jti": new_id("jti")}
    if role is not None:
        return {**claims, "org_id": organization_id, "role": role}
    return claims


def to_tokens(signed: SignedToken, refresh_token: str) -> dict[str, Any]:
    """The tokens as a client gets them."""
    return {
        "access_token": signed.token,
        "refresh_token": refresh_token,
        "token_type": "Bearer",
        "expires_in": signed.expires_in,
    }


def _suspended() -> Problem:
    return Problem("user_suspended", "The user is suspended. Reactivate the user first.")
