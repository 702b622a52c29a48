"""Signing keys of projects and the public key set (service: projects)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.calls import Call
from contracts.events import EventData
from contracts.fields import Instant
from contracts.ids import ProjectId, SigningKeyId
from contracts.models import Body, ListQuery, Pagination, Resource

Algorithm = Literal["EdDSA", "ES256", "RS256"]
SigningKeyStatus = Literal["next", "active", "retiring", "retired", "revoked"]


class SigningKey(Resource):
    """`id` is the `kid` of the tokens that it signs."""

    id: SigningKeyId
    algorithm: Algorithm = Field(examples=["EdDSA"])
    status: SigningKeyStatus = Field(examples=["active"])
    public_jwk: dict[str, Any] = Field(
        examples=[
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        ]
    )
    created_at: Instant
    activated_at: Instant | None
    retires_at: Instant | None


class SigningKeyPage(Resource):
    signing_keys: list[SigningKey]
    pagination: Pagination


class RotateSigningKey(Body):
    """`algorithm` is that of the fresh next key; `grace_period` in seconds."""

    algorithm: Algorithm | None = None
    grace_period: Annotated[int, Field(ge=0, le=2_592_000)] | None = None
    force: bool = False


class JsonWebKeySet(Resource):
    keys: list[dict[str, Any]] = Field(
        examples=[
            [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": "EdDSA",
                    "kid": "sgk_…",
                    "x": "…",
                }
            ]
        ]
    )


class SignToken(Body):
    """What a session's access token claims; the project adds who says so, and until when."""

    project_id: str
    claims: dict[str, Any]


class SignedToken(Resource):
    """A JWT by the project's active key, and how long what goes with it may live, in seconds."""

    token: str
    expires_in: int
    refresh_token_ttl: int
    session_idle_timeout: int


_PROJECT = {"id": "prj"}
_KEY = {"id": "prj", "kid": "sgk"}

LIST_SIGNING_KEYS = Call(
    "projects", "list_signing_keys", query=ListQuery, result=SigningKeyPage, path=_PROJECT
)
ROTATE_SIGNING_KEY = Call(
    "projects",
    "rotate_signing_key",
    body=RotateSigningKey,
    result=SigningKey,
    status=201,
    path=_PROJECT,
    problems=("rotation_too_soon",),
)
REVOKE_SIGNING_KEY = Call(
    "projects",
    "revoke_signing_key",
    result=SigningKey,
    path=_KEY,
    problems=("key_not_active",),
)
GET_JWKS = Call("projects", "get_jwks", result=JsonWebKeySet, path=_PROJECT)
SIGN_TOKEN = Call("projects", "sign_token", body=SignToken, result=SignedToken, shows_secret=True)


class SigningKeyRotated(EventData, type="signing_key.rotated", service="projects"):
    """The next signing key became active; the old one stays published until `retires_at`."""

    project_id: ProjectId
    signing_key: SigningKey
    retiring_key_id: SigningKeyId
    retires_at: Instant
    next_key_id: SigningKeyId


class SigningKeyRevoked(EventData, type="signing_key.revoked", service="projects"):
    """A signing key left the key set at once; the others say what stands in its place."""

    project_id: ProjectId
    signing_key: SigningKey
    active_key_id: SigningKeyId
    next_key_id: SigningKeyId
