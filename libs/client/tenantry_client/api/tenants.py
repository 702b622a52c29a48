"""Tenants and their root keys, the caller's own credential, and access tokens."""

from urllib.parse import urlencode

from contracts.api_keys import ApiKey, ApiKeyPage, IssuedApiKey, RevokeApiKeyQuery
from contracts.models import DeleteQuery, DeletionPreview
from contracts.operator_calls import IssueOperatorToken, TenantDeletion
from contracts.tenants import (
    AccessToken,
    CreatedTenant,
    CreateRootKey,
    CreateTenant,
    RootKeysQuery,
    Tenant,
    TenantPage,
    TenantsQuery,
    UpdateTenant,
    WhoAmI,
)

from tenantry_client.requests import Pages, RawBody, Request

_TENANTS = "/v1/admin/tenants"
_TENANT = _TENANTS + "/{id}"
_ROOT_KEYS = _TENANT + "/root-keys"


def create_tenant(tenant: CreateTenant) -> Request[CreatedTenant]:
    """As the operator. The secret of its first key is shown this once."""
    return Request("POST", _TENANTS, {201: CreatedTenant}, body=tenant)


def list_tenants(query: TenantsQuery = TenantsQuery()) -> Pages[TenantPage, Tenant]:
    """As the operator."""
    return Pages("GET", _TENANTS, {200: TenantPage}, query=query, name="tenants")


def get_tenant(tenant_id: str) -> Request[Tenant]:
    return Request("GET", _TENANT, {200: Tenant}, (tenant_id,))


def update_tenant(tenant_id: str, patch: UpdateTenant) -> Request[Tenant]:
    return Request("PATCH", _TENANT, {200: Tenant}, (tenant_id,), body=patch)


def delete_tenant(
    tenant_id: str, query: DeleteQuery = DeleteQuery()
) -> Request[Tenant | DeletionPreview | None]:
    """As the operator. The tenant, `deleting`, until every service has erased it; then None."""
    responses = {204: None, 202: Tenant, 200: DeletionPreview}
    return Request("DELETE", _TENANT, responses, (tenant_id,), query)


def get_tenant_deletion(tenant_id: str) -> Request[TenantDeletion]:
    """As the operator. Raises NotFoundError if the tenant is not being deleted, or is gone."""
    return Request("GET", _TENANT + "/deletion", {200: TenantDeletion}, (tenant_id,))


def issue_operator_token(
    tenant_id: str, token: IssueOperatorToken = IssueOperatorToken()
) -> Request[AccessToken]:
    """As the operator: a token with which a client looks into the tenant, and acts there."""
    return Request("POST", _TENANT + "/token", {200: AccessToken}, (tenant_id,), body=token)


def create_root_key(tenant_id: str, key: CreateRootKey = CreateRootKey()) -> Request[IssuedApiKey]:
    """As the operator. The secret is shown this once."""
    return Request("POST", _ROOT_KEYS, {201: IssuedApiKey}, (tenant_id,), body=key)


def list_root_keys(
    tenant_id: str, query: RootKeysQuery = RootKeysQuery()
) -> Pages[ApiKeyPage, ApiKey]:
    """As the operator."""
    return Pages("GET", _ROOT_KEYS, {200: ApiKeyPage}, (tenant_id,), query, name="api_keys")


def revoke_root_key(
    tenant_id: str, key_id: str, query: RevokeApiKeyQuery = RevokeApiKeyQuery()
) -> Request[None]:
    """As the operator."""
    return Request("DELETE", _ROOT_KEYS + "/{key_id}", {204: None}, (tenant_id, key_id), query)


def who_am_i() -> Request[WhoAmI]:
    """The tenant and the credential of this client."""
    return Request("GET", "/v1/admin/tenant", {200: WhoAmI})


def issue_token(
    client_id: str, client_secret: str, scope: str | None = None
) -> Request[AccessToken]:
    """A token for an API key, by its id and secret (RFC 6749 4.4). Needs no credential besides."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
        **({} if scope is None else {"scope": scope}),
    }
    body = RawBody(urlencode(form).encode(), "application/x-www-form-urlencoded")
    return Request("POST", "/v1/auth/token", {200: AccessToken}, body=body)
