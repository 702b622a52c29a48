"""Verification for a customer's own backend: a reason for each refusal, and never a write."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from contracts import api_keys as key_calls
from contracts import tenants as calls
from contracts.secrets import digest, new_secret
from projects.rpc import HANDLERS
from service.projects.client import ProjectsClient
from support.owner import Owner


@pytest.fixture
async def read_only(client: ProjectsClient) -> AsyncIterator[ProjectsClient]:
    """The same service on connections that cannot write."""
    settings = client.owner.settings
    options = {"default_transaction_read_only": "on"}
    async with asyncpg.create_pool(
        settings.database_url, min_size=0, server_settings=options
    ) as pool:
        yield ProjectsClient(Owner(HANDLERS, pool, settings))


async def verify(client: ProjectsClient, tenant: str, secret: str, *scopes: str) -> dict[str, Any]:
    body = {"secret_sha256": digest(secret), "scopes": list(scopes)}
    return dict((await client.call(key_calls.VERIFY_API_KEY, tenant, body)).body)


async def test_a_verdict_says_why_a_key_is_not_valid_without_a_write(
    client: ProjectsClient, read_only: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key, revoked, expired = [await client.create_api_key(tenant, project) for _ in range(3)]
    await client.call(key_calls.REVOKE_API_KEY, tenant, None, project, revoked["id"])
    await client.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", expired["id"])
    before = await client.event_types(tenant)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await read_only.create_project(tenant)
    listed = {each["id"]: each for each in await client.list_api_keys(tenant, project)}
    for secret, scopes, code, shown in (
        (key["secret"], (), "valid", key),
        (key["secret"], ("users:read",), "valid", key),
        (key["secret"], ("users:write",), "insufficient_scope", key),
        (key["secret"], ("users:read", "users:write"), "insufficient_scope", key),
        (revoked["secret"], (), "revoked", revoked),
        (revoked["secret"], ("users:write",), "revoked", revoked),
        (expired["secret"], (), "expired", expired),
        (new_secret("test"), (), "not_found", None),
        (new_secret("live"), (), "not_found", None),
    ):
        assert await verify(read_only, tenant, secret, *scopes) == {
            "valid": code == "valid",
            "code": code,
            "key": listed[shown["id"]] if shown else None,
        }
    malformed = await read_only.call(key_calls.VERIFY_API_KEY, tenant, {"secret_sha256": None})
    assert malformed.body == {"valid": False, "code": "not_found", "key": None}
    assert await client.event_types(tenant) == before


async def test_another_tenants_key_does_not_verify(
    client: ProjectsClient, tenant: str, other_tenant: str
) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant))
    assert (await verify(client, other_tenant, key["secret"]))["code"] == "not_found"


async def test_credentials_are_found_and_tokens_issued_without_a_write(
    client: ProjectsClient, read_only: ProjectsClient, tenant: str
) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant))
    assert (await read_only.find_credential(key["secret"])).status == 200
    form = {"grant_type": "client_credentials", "client_id": key["id"]}
    body = form | {"secret_sha256": digest(key["secret"])}
    assert (await read_only.call(calls.ISSUE_TOKEN, None, body)).status == 200


async def test_a_publishable_key_verifies_and_holds_no_scope(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project, type="publishable", scopes=[])
    assert key["secret"].startswith("tnt_pub_")
    assert (await verify(client, tenant, key["secret"]))["code"] == "valid"
    refused = await verify(client, tenant, key["secret"], "users:read")
    assert refused["code"] == "insufficient_scope"
    assert (await client.find_credential(key["secret"])).body["type"] == "publishable"


async def test_both_secrets_of_a_rotated_key_verify_in_the_overlap(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    body = {"overlap": 60}
    rotated = await client.call(key_calls.ROTATE_API_KEY, tenant, body, project, key["id"])
    for secret in (key["secret"], rotated.body["secret"]):
        assert (await verify(client, tenant, secret))["code"] == "valid"
    await client.execute("UPDATE api_keys SET previous_expires_at = now() WHERE id = $1", key["id"])
    assert (await verify(client, tenant, key["secret"]))["code"] == "expired"
    assert (await verify(client, tenant, rotated.body["secret"]))["code"] == "valid"
