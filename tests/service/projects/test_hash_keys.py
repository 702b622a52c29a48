"""Hash keys change while the service runs: the first hashes, all verify, and no API key stops."""

import base64

import pytest
from contracts import api_keys as calls
from contracts import projects as project_calls
from contracts.secrets import digest
from projects.rpc import HANDLERS
from pydantic import SecretStr
from service.projects.client import ProjectsClient
from support.owner import HASH_KEYS, Owner

SECOND = "h2:" + base64.b64encode(b"the-second-hash-key-of-32-bytes!").decode()
OLDEST = base64.b64encode(b"the-hash-key-of-version-0-1-only").decode()


def client_with(
    client: ProjectsClient, hash_keys: str | None, hash_key: str | None = None
) -> ProjectsClient:
    """The same service as a process with other hash keys."""
    update = {
        "hash_keys": hash_keys and SecretStr(hash_keys),
        "hash_key": hash_key and SecretStr(hash_key),
    }
    settings = client.owner.settings.model_copy(update=update)
    return ProjectsClient(Owner(HANDLERS, client.pool, settings))


async def status(client: ProjectsClient, tenant: str, secret: str) -> tuple[int, str]:
    """How an edge finds the key, and what it is for a customer's own backend."""
    found = await client.find_credential(secret)
    body = {"secret_sha256": digest(secret)}
    verdict = await client.call(calls.VERIFY_API_KEY, tenant, body)
    return found.status, verdict.body["code"]


async def test_a_key_works_until_its_hash_key_is_removed(
    client: ProjectsClient, tenant: str
) -> None:
    both, second = client_with(client, f"{SECOND},{HASH_KEYS}"), client_with(client, SECOND)
    project = await client.create_project(tenant)
    older = await client.create_api_key(tenant, project)
    newer = await both.create_api_key(tenant, project)
    assert await status(both, tenant, older["secret"]) == (200, "valid")
    assert await status(both, tenant, newer["secret"]) == (200, "valid")
    assert await status(second, tenant, newer["secret"]) == (200, "valid")
    assert await status(second, tenant, older["secret"]) == (404, "not_found")
    # A new secret is hashed by the first key; the one before works on by the other.
    path = (project, older["id"])
    rotated = await both.call(calls.ROTATE_API_KEY, tenant, {"overlap": 60}, *path)
    found = (await both.find_credential(older["secret"])).body
    assert (found["status"], found["previous"]) == ("active", True)
    found = (await second.find_credential(rotated.body["secret"])).body
    assert (found["status"], found["previous"]) == ("active", False)


async def test_keys_of_version_0_1_work_on_beside_those_of_the_first_hash_key(
    client: ProjectsClient, tenant: str
) -> None:
    before = client_with(client, None, OLDEST)
    project = await before.create_project(tenant)
    older = await before.create_api_key(tenant, project)
    after = client_with(client, SECOND, OLDEST)
    assert await status(after, tenant, older["secret"]) == (200, "valid")
    newer = await after.create_api_key(tenant, project)
    hashes = "SELECT id, secret_hash FROM api_keys WHERE tenant_id = $1"
    stored = {each["id"]: each["secret_hash"] for each in await client.pool.fetch(hashes, tenant)}
    assert len(stored[older["id"]]) == 64, "as version 0.1 wrote it"
    assert stored[newer["id"]].startswith("h2.")
    assert await status(client_with(client, SECOND), tenant, older["secret"]) == (404, "not_found")


@pytest.mark.parametrize("after", [f"{SECOND},{HASH_KEYS}", f"{HASH_KEYS},{SECOND}"])
async def test_a_walk_by_cursor_survives_the_rotation(
    client: ProjectsClient, tenant: str, after: str
) -> None:
    for _ in range(3):
        await client.create_project(tenant)
    page = await client.call(project_calls.LIST_PROJECTS, tenant, query={"limit": 1})
    query = {"limit": 1, "cursor": page.body["pagination"]["next_cursor"]}
    both = client_with(client, after)
    assert (await both.call(project_calls.LIST_PROJECTS, tenant, query=query)).status == 200
    alone = client_with(client, SECOND)
    assert (await alone.call(project_calls.LIST_PROJECTS, tenant, query=query)).status == 422
