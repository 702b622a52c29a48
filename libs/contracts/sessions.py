"""Sessions of users and the tokens that come with them (service: identity)."""

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.json_schema import WithJsonSchema

from contracts.calls import Call
from contracts.events import EventData
from contracts.fields import Description, Instant, fault
from contracts.ids import OrganizationId, ProjectId, SessionId, UserId
from contracts.models import Body, ListQuery, Pagination, Resource


def _address(value: str) -> str:
    """An IP address in its shortest form, without a zone of the caller's own."""
    try:
        return str(ip_address(value.strip().partition("%")[0]))
    except ValueError:
        raise fault("invalid_address", "must be an IP address such as 203.0.113.7") from None


IpAddress = Annotated[
    str,
    Field(max_length=64),
    AfterValidator(_address),
    WithJsonSchema({"type": "string", "examples": ["203.0.113.7"]}),
]
UserAgent = Annotated[
    Description,
    WithJsonSchema({"type": "string", "maxLength": 1024, "examples": ["Mozilla/5.0"]}),
]
Token = Annotated[str, Field(min_length=1, max_length=8192)]


class Session(Resource):
    """`expires_at` is when it ends unless it is used; `last_active_at` may lag some seconds."""

    id: SessionId
    project_id: ProjectId
    status: Literal["active", "revoked", "expired"] = Field(examples=["active"])
    ip_address: str | None = Field(examples=["203.0.113.7"])
    user_agent: str | None = Field(examples=["Mozilla/5.0"])
    created_at: Instant
    last_active_at: Instant
    expires_at: Instant


class SessionPage(Resource):
    sessions: list[Session]
    pagination: Pagination


class SessionsQuery(ListQuery):
    status: Literal["active", "expired", "revoked"] | None = None


class SessionTokens(Resource):
    """`expires_in` is the lifetime of the access token in seconds."""

    access_token: str = Field(examples=["eyJhbGciOiJFZERTQSIs…"])
    refresh_token: str = Field(examples=["tnt_rt_…"])
    token_type: Literal["Bearer"] = Field(examples=["Bearer"])
    expires_in: int = Field(examples=[900])


class IssuedSession(SessionTokens):
    """A session that begins; its refresh token is shown this once."""

    session: Session


class SessionVerdict(Resource):
    """What is known of an access token now.

    `code`: `valid`; `invalid`, which no project of the tenant has signed; `expired`, the token or
    its session; `revoked`, the session; `user_suspended`. `claims` and `session` are null for an
    invalid token. `claims` have today's `role`, and neither `org_id` nor `role` if the user has
    left the organization.
    """

    valid: bool = Field(examples=[True])
    code: Literal["valid", "invalid", "expired", "revoked", "user_suspended"] = Field(
        examples=["valid"]
    )
    claims: dict[str, Any] | None = Field(
        examples=[{"sub": "usr_01jt7a3v9qf8mbd2m0q5k4h6xz", "exp": 1768471200}]
    )
    session: Session | None


class CreateSession(Body):
    """`organization_id` names one that the user is a member of: its token has `org_id`, `role`."""

    project_id: ProjectId
    ip_address: IpAddress | None = None
    user_agent: UserAgent | None = None
    organization_id: OrganizationId | None = None


class RefreshSession(Body):
    refresh_token: Token = Field(examples=["tnt_rt_…"])


class VerifySession(Body):
    """An access token, as the caller was sent it."""

    token: Token = Field(examples=["eyJhbGciOiJFZERTQSIs…"])


_USER = {"id": "usr"}

CREATE_SESSION = Call(
    "identity",
    "create_session",
    body=CreateSession,
    result=IssuedSession,
    status=201,
    path=_USER,
    problems=("user_suspended",),
    shows_secret=True,
)
LIST_SESSIONS = Call(
    "identity", "list_sessions", query=SessionsQuery, result=SessionPage, path=_USER
)
REVOKE_SESSIONS = Call("identity", "revoke_sessions", status=204, path=_USER)
REVOKE_SESSION = Call("identity", "revoke_session", status=204, path={"id": "usr", "sid": "ses"})
REFRESH_SESSION = Call(
    "identity",
    "refresh_session",
    body=RefreshSession,
    result=SessionTokens,
    problems=("unauthenticated", "tenant_suspended"),
    shows_secret=True,
)
VERIFY_SESSION = Call("identity", "verify_session", body=VerifySession, result=SessionVerdict)


class SessionCreated(EventData, type="session.created", service="identity"):
    """A session of a user began."""

    user_id: UserId
    session: Session


RevocationReason = Literal[
    "revoked", "user_suspended", "user_deleted", "project_deleted", "refresh_token_reused"
]


class SessionRevoked(EventData, type="session.revoked", service="identity"):
    """A session ended before its time; `reason` says why."""

    user_id: UserId
    session_id: SessionId
    reason: RevocationReason
