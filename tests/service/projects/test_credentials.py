"""Credentials: looked up by what an edge knows of them, the secret's digest or the key's id."""

from contracts import projects as project_calls
from contracts import tenants as calls
from contracts.ids import new_id
from contracts.secrets import new_secret
from service.projects.client import ProjectsClient


async def test_a_key_is_found_by_its_secret_and_by_its_id(
    client: ProjectsClient, tenant: str
) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant))
    found = (await client.find_credential(key["secret"])).body
    assert found == {
        "key_id": key["id"],
        "tenant_id": tenant,
        "type": "secret",
        "scopes": ["users:read"],
        "status": "active",
        "tenant_status": "active",
        "expires_at": None,
        "previous": False,
        "quotas": {},
    }
    by_id = await client.call(calls.FIND_CREDENTIAL, None, {"key_id": key["id"]})
    assert by_id.body == found


async def test_what_is_no_key_is_not_found(client: ProjectsClient) -> None:
    assert (await client.find_credential(new_secret("live"))).status == 404
    for key_id in (new_id("key"), "", "%", "key_'; --"):
        found = await client.call(calls.FIND_CREDENTIAL, None, {"key_id": key_id})
        assert found.status == 404


async def test_keys_of_a_deleted_project_are_known_as_revoked(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    await client.call(project_calls.DELETE_PROJECT, tenant, None, project)
    assert (await client.find_credential(key["secret"])).body["status"] == "revoked"
