"""Access tokens for API keys: verified by the public key alone, and never more than their key."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from contracts import api_keys as key_calls
from contracts import tenants as calls
from contracts.ids import new_id
from contracts.secrets import digest, new_secret
from service.projects.client import ProjectsClient
from support.owner import Answer


async def issue(client: ProjectsClient, key: dict[str, Any], **fields: Any) -> Answer:
    body = {
        "grant_type": "client_credentials",
        "client_id": key["id"],
        "secret_sha256": digest(key["secret"]),
        **fields,
    }
    return await client.call(calls.ISSUE_TOKEN, None, body)


async def claims(client: ProjectsClient, token: str) -> dict[str, Any]:
    """What an edge reads from a token with nothing but the public keys."""
    keys = (await client.call(calls.TOKEN_KEYS, None)).body["keys"]
    by_id = {each["kid"]: jwt.PyJWK(each) for each in keys}
    key = by_id[jwt.get_unverified_header(token)["kid"]]
    read = jwt.decode(token, key, algorithms=["EdDSA"], issuer="tenantry", audience="tenantry")
    return dict(read)


async def test_a_token_says_whose_it_is_and_what_it_may_do(
    client: ProjectsClient, tenant: str
) -> None:
    scopes = ["users:read", "audit:read"]
    key = await client.create_api_key(tenant, await client.create_project(tenant), scopes=scopes)
    issued = await issue(client, key)
    assert (issued.body["token_type"], issued.body["expires_in"]) == ("Bearer", 900)
    assert issued.body["scope"] == "users:read audit:read"
    read = await claims(client, issued.body["access_token"])
    assert (read["sub"], read["tid"], read["scope"]) == (key["id"], tenant, issued.body["scope"])
    assert 0 <= time.time() - read["iat"] < 5
    assert read["exp"] - read["iat"] == 900
    other = await claims(client, (await issue(client, key)).body["access_token"])
    assert read["jti"] != other["jti"]


async def test_the_published_key_is_public_only(client: ProjectsClient) -> None:
    keys = (await client.call(calls.TOKEN_KEYS, None)).body["keys"]
    assert len(keys) >= 2
    for key in keys:
        assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}


async def test_a_token_may_be_narrower_than_its_key(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    some = await client.create_api_key(tenant, project, scopes=["users:read", "users:write"])
    every = await client.create_api_key(tenant, project, scopes=["*"])
    for key, wanted, scope in (
        (some, "users:write", "users:write"),
        (some, "users:read users:read", "users:read"),
        (some, "", "users:read users:write"),
        (every, "users:read webhooks:write", "users:read webhooks:write"),
        (every, None, "*"),
    ):
        issued = await issue(client, key, scope=wanted)
        assert issued.body["scope"] == scope
        assert (await claims(client, issued.body["access_token"]))["scope"] == scope


@pytest.mark.parametrize("wanted", ["users:write", "*", "users:read users:write", "nonsense", " "])
async def test_a_token_is_never_wider_than_its_key(
    client: ProjectsClient, tenant: str, wanted: str
) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant))
    refused = await issue(client, key, scope=wanted)
    assert (refused.status, refused.body["code"]) == (400, "invalid_scope")


async def test_nobody_gets_a_scope_that_is_none(client: ProjectsClient, tenant: str) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant), scopes=["*"])
    refused = await issue(client, key, scope="users:read everything")
    assert (refused.status, refused.body["code"]) == (400, "invalid_scope")


async def test_other_grants_are_not_supported(client: ProjectsClient, tenant: str) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant))
    refused = await issue(client, key, grant_type="password")
    assert (refused.status, refused.body["code"]) == (400, "unsupported_grant_type")


async def test_whatever_is_wrong_with_a_client_is_answered_alike(client: ProjectsClient) -> None:
    tenants = [(await client.create_tenant())["tenant"]["id"] for _ in range(3)]
    projects = [await client.create_project(tenant) for tenant in tenants]
    good, other, revoked, expired = [
        await client.create_api_key(tenants[0], projects[0]) for _ in range(4)
    ]
    public = await client.create_api_key(tenants[0], projects[0], type="publishable", scopes=[])
    suspended, deleting = [await client.create_api_key(tenants[n], projects[n]) for n in (1, 2)]
    await client.call(key_calls.REVOKE_API_KEY, tenants[0], None, projects[0], revoked["id"])
    await client.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", expired["id"])
    await client.call_as_operator(calls.UPDATE_TENANT, {"status": "suspended"}, tenants[1])
    await client.call_as_operator(calls.DELETE_TENANT, None, tenants[2])
    wrong = [
        good | {"id": new_id("key")},
        good | {"id": other["id"]},
        good | {"secret": new_secret("test")},
        revoked,
        expired,
        public,
        suspended,
        deleting,
    ]
    replies = [await issue(client, key) for key in wrong]
    assert {each.status for each in replies} == {401}
    bodies = [{**each.body, "request_id": None} for each in replies]
    assert all(body == bodies[0] for body in bodies)
    assert bodies[0]["code"] == "invalid_client"
    assert (await issue(client, good)).status == 200


async def test_a_token_never_outlives_its_key(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    end = datetime.now(UTC) + timedelta(seconds=60)
    key = await client.create_api_key(tenant, project, expires_at=end.isoformat())
    issued = await issue(client, key)
    assert issued.body["expires_in"] <= 60
    assert (await claims(client, issued.body["access_token"]))["exp"] == int(end.timestamp())
    rotated = await client.call(
        key_calls.ROTATE_API_KEY, tenant, {"overlap": 30}, project, key["id"]
    )
    assert (await issue(client, key)).body["expires_in"] <= 30
    assert (await issue(client, dict(rotated.body))).body["expires_in"] > 30


async def test_a_token_costs_no_row(client: ProjectsClient, tenant: str) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant))
    before = await client.event_types(tenant)
    await issue(client, key)
    assert await client.event_types(tenant) == before
