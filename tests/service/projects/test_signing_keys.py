"""Signing keys: list, rotate, revoke; tokens verify by the public key set."""

import asyncio
import time
from datetime import datetime, timedelta

import jwt
import pytest
from contracts import signing_keys as calls
from contracts.ids import new_id
from projects.signing.key_retirement import retire_due_keys
from service.projects.client import ProjectsClient


async def key_with(client: ProjectsClient, tenant: str, project: str, status: str) -> str:
    (found,) = (await client.signing_keys_by_status(tenant, project))[status]
    return found


async def test_a_new_project_has_an_active_and_a_next_key(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    keys = await client.signing_keys_by_status(tenant, project)
    assert sorted(keys) == ["active", "next"]
    reply = (await client.call(calls.GET_JWKS, None, None, project)).reply
    assert reply.headers == {"Cache-Control": "public, max-age=300"}
    assert len(reply.version or "") == 16
    published = await client.published_keys(project)
    assert set(published) == {*keys["active"], *keys["next"]}
    assert all("d" not in each for each in published.values())


async def test_keys_of_another_tenants_project_do_not_exist(
    client: ProjectsClient, tenant: str, other_tenant: str
) -> None:
    project = await client.create_project(tenant)
    kid = await key_with(client, tenant, project, "active")
    for call, path, body in (
        (calls.LIST_SIGNING_KEYS, (project,), None),
        (calls.ROTATE_SIGNING_KEY, (project,), {"force": True}),
        (calls.REVOKE_SIGNING_KEY, (project, kid), None),
    ):
        refused = await client.call(call, other_tenant, body, *path)
        assert (refused.status, refused.body["code"]) == (404, "not_found")
    assert (await client.sign_token(other_tenant, project)).status == 404
    assert (await client.call(calls.GET_JWKS, None, None, new_id("prj"))).status == 404


async def test_a_rotation_activates_next_and_retires_active(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    active = await key_with(client, tenant, project, "active")
    following = await key_with(client, tenant, project, "next")
    rotated = await client.rotate_signing_key(
        tenant, project, force=True, algorithm="ES256", grace_period=3600
    )
    assert (rotated.status, rotated.reply.created) == (201, following)
    assert (rotated.body["id"], rotated.body["status"]) == (following, "active")
    found = await client.call(calls.LIST_SIGNING_KEYS, tenant, None, project)
    by_status = {each["status"]: each for each in found.body["signing_keys"]}
    assert by_status["active"] == rotated.body
    assert by_status["retiring"]["id"] == active
    assert by_status["next"]["algorithm"] == "ES256"
    span = datetime.fromisoformat(by_status["retiring"]["retires_at"]) - datetime.fromisoformat(
        rotated.body["activated_at"]
    )
    assert span == timedelta(seconds=3600)
    assert set(await client.published_keys(project)) == {each["id"] for each in by_status.values()}
    last = (await client.events(tenant))[-1]
    assert (last["type"], last["subject"]) == ("signing_key.rotated", following)
    assert last["data"] == {
        "project_id": project,
        "signing_key": rotated.body,
        "retiring_key_id": active,
        "retires_at": by_status["retiring"]["retires_at"],
        "next_key_id": by_status["next"]["id"],
    }


async def test_a_key_past_its_grace_period_is_retired_and_not_published(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant, settings={"signing_key_grace_period": 0})
    active = await key_with(client, tenant, project, "active")
    await client.rotate_signing_key(tenant, project, force=True)
    for _ in range(2):
        assert await key_with(client, tenant, project, "retired") == active
        assert active not in await client.published_keys(project)
        refused = await client.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, active)
        assert (refused.status, refused.body["code"]) == (409, "key_not_active")
        await retire_due_keys(client.pool)  # it is the same once the status is stored


@pytest.mark.parametrize("status", ["active", "next", "retiring"])
async def test_a_revoked_key_leaves_the_key_set_at_once(
    client: ProjectsClient, tenant: str, status: str
) -> None:
    project = await client.create_project(tenant)
    await client.rotate_signing_key(tenant, project, force=True)
    kid = await key_with(client, tenant, project, status)
    following = await key_with(client, tenant, project, "next")
    revoked = await client.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, kid)
    assert (revoked.status, revoked.body["status"]) == (200, "revoked")
    assert kid not in await client.published_keys(project)
    active = await key_with(client, tenant, project, "active")
    if status == "active":
        assert active == following
    last = (await client.events(tenant))[-1]
    assert (last["type"], last["subject"]) == ("signing_key.revoked", kid)
    assert last["data"]["signing_key"] == revoked.body
    assert last["data"]["active_key_id"] == active
    assert last["data"]["next_key_id"] == await key_with(client, tenant, project, "next")
    repeated = await client.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, kid)
    assert (repeated.status, repeated.body["code"]) == (409, "key_not_active")


async def test_there_is_one_active_key_whatever_the_concurrency(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    kid = await key_with(client, tenant, project, "active")
    replies = await asyncio.gather(
        *(client.rotate_signing_key(tenant, project, force=True) for _ in range(6)),
        client.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, kid),
    )
    assert [each.status for each in replies] == [201] * 6 + [200]
    keys = await client.signing_keys_by_status(tenant, project)
    assert (len(keys["active"]), len(keys["next"])) == (1, 1)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_a_token_verifies_by_the_key_set(
    client: ProjectsClient, tenant: str, algorithm: str
) -> None:
    settings = {"signing_algorithm": algorithm, "access_token_ttl": 120}
    project = await client.create_project(tenant, settings=settings)
    signed = await client.sign_token(
        tenant, project, iss="evil", aud="evil", pid="evil", exp=1, iat=1
    )
    assert (signed.status, signed.body["expires_in"]) == (200, 120)
    assert signed.body["refresh_token_ttl"] == signed.body["session_idle_timeout"] == 604_800
    token = signed.body["token"]
    kid = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWK((await client.published_keys(project))[kid])
    claims = jwt.decode(token, key, algorithms=[algorithm], audience=project, issuer=project)
    assert (claims["sub"], claims["pid"]) == ("usr_1", project)
    assert claims["exp"] - claims["iat"] == 120
    assert abs(claims["iat"] - time.time()) < 5


async def test_private_keys_are_stored_encrypted_and_only_while_needed(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    await client.rotate_signing_key(tenant, project, force=True)
    rows = await client.pool.fetch(
        "SELECT status, private_key FROM signing_keys WHERE tenant_id = $1", tenant
    )
    stored = {row["status"]: row["private_key"] for row in rows}
    assert stored["retiring"] is None
    assert all(stored[status].startswith("k1.") for status in ("active", "next"))
