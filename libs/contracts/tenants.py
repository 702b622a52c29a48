"""Tenants, who a credential is, and access tokens (service: projects)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.api_keys import (
    ApiKey,
    ApiKeyPage,
    ApiKeyStatus,
    IssuedApiKey,
    RevokeApiKeyQuery,
)
from contracts.calls import Call
from contracts.events import Changes, EventData
from contracts.fields import Instant, Name, NameInput, Search, Slug
from contracts.ids import ApiKeyId, TenantId
from contracts.json_objects import Metadata
from contracts.models import Body, DeleteQuery, ListQuery, Pagination, Resource, absent
from contracts.quotas import ChangedQuotas, Quotas
from contracts.readable_text import WhenChanged, check_name
from contracts.scopes import Scope

TenantStatus = Literal["active", "suspended"]


class Tenant(Resource):
    """`quotas` are those in which the tenant differs from the others."""

    id: TenantId
    name: Name
    slug: Slug
    status: Literal["active", "suspended", "deleting"] = Field(examples=["active"])
    settings: dict[str, Any] = Field(examples=[{"region": "eu"}])
    quotas: dict[str, int] = Field(default={}, examples=[{"webhooks": 500}])
    version: int = Field(examples=[1])
    created_at: Instant
    updated_at: Instant


class TenantPage(Resource):
    tenants: list[Tenant]
    pagination: Pagination


class CreateTenant(Body):
    name: NameInput
    slug: Slug | None = None
    settings: Metadata = {}
    quotas: Quotas = {}


class CreatedTenant(Resource):
    """The tenant and its first key, a root key with every scope."""

    tenant: Tenant
    api_key: IssuedApiKey


class UpdateTenant(Body):
    """`status`, `slug` and `quotas` are the operator's to change; a null quota is the usual one."""

    name: Annotated[Name, WhenChanged(check_name)] = absent()
    slug: Slug = absent()
    settings: dict[str, Any] = absent()
    quotas: ChangedQuotas = absent()
    status: TenantStatus = absent()


class TenantsQuery(ListQuery):
    q: Search | None = None
    status: TenantStatus | None = None
    sort: Literal["name", "-name", "created_at", "-created_at"] = "-created_at"


class Credential(Resource):
    id: str | None = Field(examples=["key_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    type: Literal["api_key", "access_token"] = Field(examples=["api_key"])
    scopes: list[Scope]
    expires_at: Instant | None


class WhoAmI(Resource):
    """`root_keys` are those that work, at most the newest 100; the operator lists all of them under
    `/v1/admin/tenants/{id}/root-keys`.
    """

    tenant: Tenant
    credential: Credential
    root_keys: list[ApiKey]


_TENANT = {"id": "ten"}

CREATE_TENANT = Call(
    "projects",
    "create_tenant",
    body=CreateTenant,
    result=CreatedTenant,
    status=201,
    problems=("slug_taken",),
    shows_secret=True,
)
LIST_TENANTS = Call("projects", "list_tenants", query=TenantsQuery, result=TenantPage, may_lag=True)
GET_TENANT = Call("projects", "get_tenant", result=Tenant, path=_TENANT)
UPDATE_TENANT = Call(
    "projects",
    "update_tenant",
    body=UpdateTenant,
    result=Tenant,
    path=_TENANT,
    problems=("slug_taken", "version_mismatch"),
)
DELETE_TENANT = Call(
    "projects",
    "delete_tenant",
    query=DeleteQuery,
    result=Tenant,
    status=202,
    path=_TENANT,
    problems=("version_mismatch",),
)
"""Answers once the erasure is under way; the edge waits until the tenant is gone: 204."""
WHO_AM_I = Call("projects", "who_am_i", result=WhoAmI)


class CreateRootKey(Body):
    """A root key holds every scope and belongs to no project."""

    name: NameInput = "Root key"


class RootKeysQuery(ListQuery):
    status: ApiKeyStatus | None = None


_ROOT_KEY = {"id": "ten", "key_id": "key"}

CREATE_ROOT_KEY = Call(
    "projects",
    "create_root_key",
    body=CreateRootKey,
    result=IssuedApiKey,
    status=201,
    path=_TENANT,
    problems=("quota_exceeded",),
    shows_secret=True,
)
LIST_ROOT_KEYS = Call(
    "projects", "list_root_keys", query=RootKeysQuery, result=ApiKeyPage, path=_TENANT
)
REVOKE_ROOT_KEY = Call(
    "projects",
    "revoke_root_key",
    query=RevokeApiKeyQuery,
    status=204,
    path=_ROOT_KEY,
    problems=("last_root_key",),
)


class RefusedUse(Body):
    """A dead or under-scoped key of a tenant was used."""

    tenant_id: TenantId
    key_id: ApiKeyId
    code: Literal["revoked", "expired", "insufficient_scope", "tenant_suspended"]


class FindCredential(Body):
    """The SHA-256 of an API key's secret in hexadecimal, or the id of a token's key."""

    secret_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    key_id: str | None = None


class FoundCredential(Resource):
    """Who is calling, and what may they do: all that an edge needs to know of a key.

    `secret_version` counts the secrets of the key, the newest one has it. `previous` says that the
    secret looked up is the one before that; `expires_at` is then the end of its overlap, which
    `previous_expires_at` always is. `quotas` are those of the tenant.
    """

    key_id: str
    tenant_id: TenantId
    type: Literal["secret", "publishable"]
    scopes: list[str]
    status: Literal["active", "expired", "revoked"]
    tenant_status: Literal["active", "suspended", "deleting"]
    expires_at: Instant | None
    previous: bool
    secret_version: int
    previous_expires_at: Instant | None
    quotas: dict[str, int]


class KeyUse(Body):
    """When a key was last used; `previous` as its `FoundCredential` said."""

    key_id: ApiKeyId
    tenant_id: TenantId
    used_at: Instant
    previous: bool = False


class RecordUse(Body):
    uses: Annotated[list[KeyUse], Field(max_length=2000)]


FIND_CREDENTIAL = Call("projects", "find_credential", body=FindCredential, result=FoundCredential)
RECORD_REFUSAL = Call("projects", "record_refusal", body=RefusedUse, status=204)
RECORD_USE = Call("projects", "record_use", body=RecordUse, status=204)


class IssueToken(Body):
    """`client_credentials` of RFC 6749, the form already read by the edge.

    `secret_sha256` is null when the client secret has not the form of one.
    """

    grant_type: str
    client_id: str
    secret_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    scope: str | None = None


class AccessToken(Resource):
    access_token: str = Field(examples=["eyJhbGciOiJFZERTQSJ9.eyJ0aWQiOiJ0ZW5fIn0.c2ln"])
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int = Field(examples=[900])
    scope: str = Field(examples=["users:read users:write"])


TOKEN_ISSUER = "tenantry"
TOKEN_AUDIENCE = "tenantry"
TOKEN_TYPE = "at+jwt"
"""RFC 9068: no other JWT is taken for an access token."""
TOKEN_LIFETIME = 900
"""Seconds that an access token lives at most."""
TOKEN_KEY_RELEASE = "tenantry_release"
"""A member of the JWK of version 0.1, whose tokens lack the type, the audience and the version."""


class TokenKeys(Resource):
    """The public keys (RFC 7517) with which an edge verifies access tokens on its own."""

    keys: list[dict[str, str]]


ISSUE_TOKEN = Call(
    "projects",
    "issue_token",
    body=IssueToken,
    result=AccessToken,
    problems=("invalid_request", "invalid_scope", "unsupported_grant_type", "invalid_client"),
    shows_secret=True,
)
TOKEN_KEYS = Call("projects", "token_keys", result=TokenKeys)


class TenantCreated(EventData, type="tenant.created", service="projects"):
    """A tenant was created, with its root key."""

    tenant: Tenant


class TenantUpdated(EventData, type="tenant.updated", service="projects"):
    """Fields of a tenant changed."""

    tenant: Tenant
    changes: Changes


class TenantSuspended(EventData, type="tenant.suspended", service="projects"):
    """A tenant was suspended: every credential of it is refused."""

    tenant: Tenant
    changes: Changes


class TenantResumed(EventData, type="tenant.resumed", service="projects"):
    """A suspended tenant is active again."""

    tenant: Tenant
    changes: Changes


class TenantDeleted(EventData, type="tenant.deleted", service="projects"):
    """A tenant was erased in every service."""

    tenant_id: TenantId
