"""Projects, their API keys and their signing keys."""

from contracts.api_keys import (
    ApiKey,
    ApiKeyPage,
    ApiKeysQuery,
    ApiKeyVerdict,
    CreateApiKey,
    IssuedApiKey,
    RevokeApiKeyQuery,
    RotateApiKey,
)
from contracts.catalogue import SettingsSchema
from contracts.models import DeleteQuery, DeletionPreview, ListQuery
from contracts.projects import CreateProject, Project, ProjectPage, ProjectsQuery, UpdateProject
from contracts.signing_keys import JsonWebKeySet, RotateSigningKey, SigningKey, SigningKeyPage

from tenantry_client.models import VerifyApiKey
from tenantry_client.requests import Pages, Request

_PROJECTS = "/v1/admin/projects"
_PROJECT = _PROJECTS + "/{id}"
_KEYS = _PROJECT + "/api-keys"
_SIGNING_KEYS = _PROJECT + "/signing-keys"


def create_project(project: CreateProject) -> Request[Project]:
    return Request("POST", _PROJECTS, {201: Project}, body=project)


def list_projects(query: ProjectsQuery = ProjectsQuery()) -> Pages[ProjectPage, Project]:
    return Pages("GET", _PROJECTS, {200: ProjectPage}, query=query, name="projects")


def get_project(project_id: str) -> Request[Project]:
    return Request("GET", _PROJECT, {200: Project}, (project_id,))


def update_project(project_id: str, patch: UpdateProject) -> Request[Project]:
    return Request("PATCH", _PROJECT, {200: Project}, (project_id,), body=patch)


def delete_project(
    project_id: str, query: DeleteQuery = DeleteQuery()
) -> Request[DeletionPreview | None]:
    return Request("DELETE", _PROJECT, {204: None, 200: DeletionPreview}, (project_id,), query)


def get_settings_schema() -> Request[SettingsSchema]:
    return Request("GET", _PROJECTS + "/settings-schema", {200: SettingsSchema})


def create_api_key(project_id: str, key: CreateApiKey) -> Request[IssuedApiKey]:
    """The secret is shown this once."""
    return Request("POST", _KEYS, {201: IssuedApiKey}, (project_id,), body=key)


def list_api_keys(
    project_id: str, query: ApiKeysQuery = ApiKeysQuery()
) -> Pages[ApiKeyPage, ApiKey]:
    return Pages("GET", _KEYS, {200: ApiKeyPage}, (project_id,), query, name="api_keys")


def revoke_api_key(
    project_id: str, key_id: str, query: RevokeApiKeyQuery = RevokeApiKeyQuery()
) -> Request[None]:
    return Request("DELETE", _KEYS + "/{key_id}", {204: None}, (project_id, key_id), query)


def rotate_api_key(
    project_id: str, key_id: str, rotation: RotateApiKey = RotateApiKey()
) -> Request[IssuedApiKey]:
    """The new secret is shown this once; the old one works on for `overlap` seconds."""
    path = _KEYS + "/{key_id}/rotate"
    return Request("POST", path, {201: IssuedApiKey}, (project_id, key_id), body=rotation)


def verify_api_key(key: VerifyApiKey) -> Request[ApiKeyVerdict]:
    """Whether an API key that somebody sent you is valid, and for what."""
    return Request("POST", "/v1/api-keys/verify", {200: ApiKeyVerdict}, body=key)


def list_signing_keys(
    project_id: str, query: ListQuery = ListQuery()
) -> Pages[SigningKeyPage, SigningKey]:
    return Pages(
        "GET", _SIGNING_KEYS, {200: SigningKeyPage}, (project_id,), query, name="signing_keys"
    )


def rotate_signing_key(
    project_id: str, rotation: RotateSigningKey = RotateSigningKey()
) -> Request[SigningKey]:
    """The key that is active from now on."""
    path = _SIGNING_KEYS + "/rotate"
    return Request("POST", path, {201: SigningKey}, (project_id,), body=rotation)


def revoke_signing_key(project_id: str, kid: str) -> Request[SigningKey]:
    path = _SIGNING_KEYS + "/{kid}/revoke"
    return Request("POST", path, {200: SigningKey}, (project_id, kid))


def get_jwks(project_id: str) -> Request[JsonWebKeySet]:
    """The public keys by which a project's access tokens verify. Needs no credential."""
    path = "/v1/projects/{id}/.well-known/jwks.json"
    return Request("GET", path, {200: JsonWebKeySet}, (project_id,))
