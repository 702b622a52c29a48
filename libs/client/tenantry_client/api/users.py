"""Users and their sessions."""

from collections.abc import Iterable

from contracts.models import DeletionPreview
from contracts.sessions import (
    CreateSession,
    IssuedSession,
    RefreshSession,
    Session,
    SessionPage,
    SessionsQuery,
    SessionTokens,
    SessionVerdict,
    VerifySession,
)
from contracts.users import (
    CreateUser,
    DeleteUserQuery,
    ImportResult,
    UpdateUser,
    User,
    UserDetail,
    UserPage,
    UsersQuery,
)

from tenantry_client.requests import Lines, Pages, RawBody, Request, to_json

_USERS = "/v1/admin/users"
_USER = _USERS + "/{id}"
_SESSIONS = _USER + "/sessions"


def create_user(user: CreateUser) -> Request[User]:
    return Request("POST", _USERS, {201: User}, body=user)


def import_users(users: Iterable[CreateUser]) -> Lines[ImportResult]:
    """Up to 10,000 users or 8 MiB at once: a result for each, in order. A bad one fails alone."""
    return import_lines(map(to_json, users))


def import_lines(lines: Iterable[bytes]) -> Lines[ImportResult]:
    """As `import_users`, with users that are JSON already, one a line and without line feeds."""
    body = RawBody(b"".join(line + b"\n" for line in lines), "application/x-ndjson")
    return Lines("POST", _USERS + "/bulk", {200: None}, body=body, item=ImportResult)


def list_users(query: UsersQuery = UsersQuery()) -> Pages[UserPage, User]:
    return Pages("GET", _USERS, {200: UserPage}, query=query, name="users")


def get_user(user_id: str) -> Request[UserDetail]:
    """With the live sessions and the organizations."""
    return Request("GET", _USER, {200: UserDetail}, (user_id,))


def update_user(user_id: str, patch: UpdateUser) -> Request[User]:
    return Request("PATCH", _USER, {200: User}, (user_id,), body=patch)


def delete_user(
    user_id: str, query: DeleteUserQuery = DeleteUserQuery()
) -> Request[DeletionPreview | None]:
    return Request("DELETE", _USER, {204: None, 200: DeletionPreview}, (user_id,), query)


def create_session(user_id: str, session: CreateSession) -> Request[IssuedSession]:
    """The refresh token is shown this once."""
    return Request("POST", _SESSIONS, {201: IssuedSession}, (user_id,), body=session)


def list_sessions(
    user_id: str, query: SessionsQuery = SessionsQuery()
) -> Pages[SessionPage, Session]:
    return Pages("GET", _SESSIONS, {200: SessionPage}, (user_id,), query, name="sessions")


def revoke_sessions(user_id: str) -> Request[None]:
    return Request("DELETE", _SESSIONS, {204: None}, (user_id,))


def revoke_session(user_id: str, session_id: str) -> Request[None]:
    return Request("DELETE", _SESSIONS + "/{sid}", {204: None}, (user_id, session_id))


def refresh_session(refresh: RefreshSession) -> Request[SessionTokens]:
    """Needs no credential. A refresh token that is used a second time revokes the session."""
    return Request("POST", "/v1/sessions/refresh", {200: SessionTokens}, body=refresh)


def verify_session(token: VerifySession) -> Request[SessionVerdict]:
    """Whether an access token is valid now; a revoked session is found."""
    return Request("POST", "/v1/sessions/verify", {200: SessionVerdict}, body=token)
