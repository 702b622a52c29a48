"""API keys of a tenant's projects (service: projects)."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.calls import Call
from contracts.events import EventData
from contracts.fields import Flag, Instant, Name, NameInput
from contracts.ids import ApiKeyId, ProjectId
from contracts.models import Body, ListQuery, Pagination, Query, Resource
from contracts.scopes import Scope, Scopes

ApiKeyType = Literal["secret", "publishable"]
ApiKeyStatus = Literal["active", "expired", "revoked"]


class PreviousSecret(Resource):
    """The secret before the last rotation: until when it works, and when it was last used."""

    expires_at: Instant
    last_used_at: Instant | None


class ApiKey(Resource):
    """`prefix` is enough to recognise the key and nothing that helps to guess it."""

    id: ApiKeyId
    project_id: ProjectId | None
    type: ApiKeyType = Field(examples=["secret"])
    name: Name
    prefix: str = Field(examples=["tnt_test_7Gk2"])
    scopes: list[Scope]
    status: ApiKeyStatus = Field(examples=["active"])
    created_by: str | None = Field(examples=["key_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None
    revoked_at: Instant | None
    previous_secret: PreviousSecret | None


class IssuedApiKey(ApiKey):
    """`secret` is shown once."""

    secret: str = Field(examples=["tnt_test_7Gk2…"])


class ApiKeyPage(Resource):
    api_keys: list[ApiKey]
    pagination: Pagination


class CreateApiKey(Body):
    name: NameInput
    type: ApiKeyType = "secret"
    scopes: Scopes = []
    expires_at: Instant | None = None


class ApiKeysQuery(ListQuery):
    status: ApiKeyStatus | None = None
    type: ApiKeyType | None = None


class RevokeApiKeyQuery(Query):
    """`descendants=true` revokes the keys that it made too, and those that they made."""

    descendants: Flag = False


class RotateApiKey(Body):
    """For `overlap` seconds the old secret works beside the new one."""

    overlap: Annotated[int, Field(ge=0, le=604_800, examples=[3600])] = 0


class VerifyApiKey(Body):
    """The SHA-256 of a secret in hexadecimal; null when it has not the form of one.

    The edge makes it of the `secret` that the caller sent, which goes no further.
    """

    secret_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    scopes: Scopes = []


class ApiKeyVerdict(Resource):
    """`key` is null for what is no key of the caller's tenant."""

    valid: bool
    code: Literal["valid", "not_found", "revoked", "expired", "insufficient_scope"] = Field(
        examples=["valid"]
    )
    key: ApiKey | None


_PROJECT = {"id": "prj"}
_KEY = {"id": "prj", "key_id": "key"}

CREATE_API_KEY = Call(
    "projects",
    "create_api_key",
    body=CreateApiKey,
    result=IssuedApiKey,
    status=201,
    path=_PROJECT,
    problems=("insufficient_scope", "quota_exceeded"),
    shows_secret=True,
)
LIST_API_KEYS = Call(
    "projects", "list_api_keys", query=ApiKeysQuery, result=ApiKeyPage, path=_PROJECT
)
REVOKE_API_KEY = Call("projects", "revoke_api_key", query=RevokeApiKeyQuery, status=204, path=_KEY)
ROTATE_API_KEY = Call(
    "projects",
    "rotate_api_key",
    body=RotateApiKey,
    result=IssuedApiKey,
    status=201,
    path=_KEY,
    problems=("insufficient_scope", "key_not_active"),
    shows_secret=True,
)
VERIFY_API_KEY = Call("projects", "verify_api_key", body=VerifyApiKey, result=ApiKeyVerdict)


class ApiKeyCreated(EventData, type="api_key.created", service="projects"):
    """An API key was created."""

    api_key: ApiKey


class ApiKeyRotated(EventData, type="api_key.rotated", service="projects"):
    """An API key got a new secret."""

    api_key: ApiKey


class ApiKeyRevoked(EventData, type="api_key.revoked", service="projects"):
    """An API key was revoked: every edge refuses it."""

    api_key: ApiKey
