"""Signing keys, asked of their owner alone."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from contracts import projects as project_calls
from contracts import signing_keys as calls
from contracts.ids import new_id
from support.owner import Answer, Owner


async def _made(projects: Owner, tenant: str, **settings: Any) -> dict[str, str]:
    body = {"name": f"Shop {new_id('prj')}", "settings": settings}
    made = await projects.call(project_calls.CREATE_PROJECT, tenant, body)
    return {"id": made.body["id"]}


async def _statuses(projects: Owner, tenant: str, path: dict[str, str]) -> dict[str, str]:
    found = await projects.call(calls.LIST_SIGNING_KEYS, tenant, path=path)
    return {each["id"]: each["status"] for each in found.body["signing_keys"]}


async def _published(projects: Owner, path: dict[str, str]) -> set[str]:
    found = await projects.call(calls.GET_JWKS, None, path=path)
    return {each["kid"] for each in found.body["keys"]}


async def _key(projects: Owner, tenant: str, path: dict[str, str], status: str) -> str:
    statuses = await _statuses(projects, tenant, path)
    (found,) = [kid for kid, each in statuses.items() if each == status]
    return found


async def _rotated(projects: Owner, tenant: str, path: dict[str, str], **body: Any) -> Answer:
    body = {"force": True, **body}
    return await projects.call(calls.ROTATE_SIGNING_KEY, tenant, body, path=path)


async def test_a_new_project_has_an_active_and_a_next_key(projects: Owner, tenant: str) -> None:
    path = await _made(projects, tenant)
    statuses = await _statuses(projects, tenant, path)
    assert sorted(statuses.values()) == ["active", "next"]
    found = await projects.call(calls.GET_JWKS, None, path=path)
    assert {each["kid"] for each in found.body["keys"]} == set(statuses)
    assert found.reply.headers == {"Cache-Control": "public, max-age=300"}
    assert len(found.reply.version or "") == 16
    assert all("d" not in each for each in found.body["keys"])


async def test_keys_of_another_tenants_project_do_not_exist(
    projects: Owner, tenant: str, other_tenant: str
) -> None:
    path = await _made(projects, tenant)
    kid = await _key(projects, tenant, path, "active")
    for call, where, body in (
        (calls.LIST_SIGNING_KEYS, path, None),
        (calls.ROTATE_SIGNING_KEY, path, {"force": True}),
        (calls.REVOKE_SIGNING_KEY, {**path, "kid": kid}, None),
    ):
        refused = await projects.call(call, other_tenant, body, path=where)
        assert (refused.status, refused.body["code"]) == (404, "not_found")
    signed = {"project_id": path["id"], "claims": {}}
    assert (await projects.call(calls.SIGN_TOKEN, other_tenant, signed)).status == 404
    assert (await projects.call(calls.GET_JWKS, None, path={"id": new_id("prj")})).status == 404


async def test_a_rotation_waits_until_the_next_key_is_known(projects: Owner, tenant: str) -> None:
    path = await _made(projects, tenant)
    refused = await projects.call(calls.ROTATE_SIGNING_KEY, tenant, {}, path=path)
    assert (refused.status, refused.body["code"]) == (409, "rotation_too_soon")
    earliest = refused.body["earliest_safe_activation"]
    assert earliest.endswith("Z")
    wait = datetime.fromisoformat(earliest) - datetime.now(UTC)
    assert timedelta(seconds=290) < wait <= timedelta(seconds=300)
    await projects.pool.execute(
        "UPDATE signing_keys SET created_at = created_at - interval '300 seconds'"
        " WHERE tenant_id = $1",
        tenant,
    )
    rotated = await projects.call(calls.ROTATE_SIGNING_KEY, tenant, {}, path=path)
    assert rotated.status == 201


async def test_a_rotation_activates_next_and_retires_active(projects: Owner, tenant: str) -> None:
    path = await _made(projects, tenant)
    active = await _key(projects, tenant, path, "active")
    following = await _key(projects, tenant, path, "next")
    rotated = await _rotated(projects, tenant, path, algorithm="ES256", grace_period=3600)
    assert (rotated.status, rotated.reply.created) == (201, following)
    assert (rotated.body["id"], rotated.body["status"]) == (following, "active")
    found = await projects.call(calls.LIST_SIGNING_KEYS, tenant, path=path)
    by_status = {each["status"]: each for each in found.body["signing_keys"]}
    assert by_status["active"] == rotated.body
    assert by_status["retiring"]["id"] == active
    assert by_status["next"]["algorithm"] == "ES256"
    span = datetime.fromisoformat(by_status["retiring"]["retires_at"]) - datetime.fromisoformat(
        rotated.body["activated_at"]
    )
    assert span == timedelta(seconds=3600)
    assert await _published(projects, path) == {each["id"] for each in by_status.values()}
    last = (await projects.events(tenant))[-1]
    assert (last["type"], last["subject"]) == ("signing_key.rotated", following)
    assert last["data"] == {
        "project_id": path["id"],
        "signing_key": rotated.body,
        "retiring_key_id": active,
        "retires_at": by_status["retiring"]["retires_at"],
        "next_key_id": by_status["next"]["id"],
    }


async def test_a_key_past_its_grace_is_retired_and_not_published(
    projects: Owner, tenant: str
) -> None:
    path = await _made(projects, tenant, signing_key_grace_period=0)
    active = await _key(projects, tenant, path, "active")
    await _rotated(projects, tenant, path)
    assert (await _statuses(projects, tenant, path))[active] == "retired"
    assert active not in await _published(projects, path)
    refused = await projects.call(calls.REVOKE_SIGNING_KEY, tenant, path={**path, "kid": active})
    assert (refused.status, refused.body["code"]) == (409, "key_not_active")


@pytest.mark.parametrize("status", ["active", "next", "retiring"])
async def test_a_revoked_key_leaves_the_key_set_at_once(
    projects: Owner, tenant: str, status: str
) -> None:
    path = await _made(projects, tenant)
    await _rotated(projects, tenant, path)
    kid = await _key(projects, tenant, path, status)
    following = await _key(projects, tenant, path, "next")
    revoked = await projects.call(calls.REVOKE_SIGNING_KEY, tenant, path={**path, "kid": kid})
    assert (revoked.status, revoked.body["status"]) == (200, "revoked")
    assert kid not in await _published(projects, path)
    if status == "active":
        assert await _key(projects, tenant, path, "active") == following
    last = (await projects.events(tenant))[-1]
    assert (last["type"], last["subject"]) == ("signing_key.revoked", kid)
    assert last["data"]["signing_key"] == revoked.body
    assert last["data"]["active_key_id"] == await _key(projects, tenant, path, "active")
    assert last["data"]["next_key_id"] == await _key(projects, tenant, path, "next")
    again = await projects.call(calls.REVOKE_SIGNING_KEY, tenant, path={**path, "kid": kid})
    assert (again.status, again.body["code"]) == (409, "key_not_active")


async def test_there_is_one_active_key_whatever_the_concurrency(
    projects: Owner, tenant: str
) -> None:
    path = await _made(projects, tenant)
    kid = await _key(projects, tenant, path, "active")
    answers = await asyncio.gather(
        *(_rotated(projects, tenant, path) for _ in range(6)),
        projects.call(calls.REVOKE_SIGNING_KEY, tenant, path={**path, "kid": kid}),
    )
    assert [each.status for each in answers] == [201] * 6 + [200]
    statuses = list((await _statuses(projects, tenant, path)).values())
    assert (statuses.count("active"), statuses.count("next")) == (1, 1)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_a_token_verifies_by_the_key_set(
    projects: Owner, tenant: str, algorithm: str
) -> None:
    path = await _made(projects, tenant, signing_algorithm=algorithm, access_token_ttl=120)
    claims = {"sub": "usr_1", "iss": "evil", "aud": "evil", "pid": "evil", "exp": 1, "iat": 1}
    body = {"project_id": path["id"], "claims": claims}
    signed = await projects.call(calls.SIGN_TOKEN, tenant, body)
    assert (signed.status, signed.body["expires_in"]) == (200, 120)
    assert signed.body["refresh_token_ttl"] == signed.body["session_idle_timeout"] == 604_800
    token = signed.body["token"]
    kid = jwt.get_unverified_header(token)["kid"]
    found = await projects.call(calls.GET_JWKS, None, path=path)
    key = jwt.PyJWKSet.from_json(json.dumps(found.body))[kid]
    opened = jwt.decode(token, key, algorithms=[algorithm], audience=path["id"], issuer=path["id"])
    assert (opened["sub"], opened["pid"]) == ("usr_1", path["id"])
    assert opened["exp"] - opened["iat"] == 120
    assert abs(opened["iat"] - time.time()) < 5


async def test_private_keys_are_stored_sealed_and_only_while_needed(
    projects: Owner, tenant: str
) -> None:
    path = await _made(projects, tenant)
    await _rotated(projects, tenant, path)
    rows = await projects.pool.fetch(
        "SELECT status, private_key FROM signing_keys WHERE tenant_id = $1", tenant
    )
    sealed = {row["status"]: row["private_key"] for row in rows}
    assert sealed["retiring"] is None
    assert all(sealed[status].startswith("k1.") for status in ("active", "next"))
