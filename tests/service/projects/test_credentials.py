"""Credentials: found by what an edge knows of them; their uses and refusals noted in passing."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import api_keys as key_calls
from contracts import projects as project_calls
from contracts import tenants as calls
from contracts.ids import new_id
from contracts.secrets import digest, new_secret
from service.projects.world import World


async def verdict(world: World, tenant: str, secret: str, *scopes: str) -> dict[str, Any]:
    body = {"secret_sha256": digest(secret), "scopes": list(scopes)}
    return dict((await world.call(key_calls.VERIFY_API_KEY, tenant, body)).body)


async def test_a_key_is_found_by_its_secret_and_by_its_id(world: World, tenant: str) -> None:
    key = await world.new_key(tenant, await world.new_project(tenant))
    found = (await world.find(key["secret"])).body
    assert found == {
        "key_id": key["id"],
        "tenant_id": tenant,
        "type": "secret",
        "scopes": ["users:read"],
        "status": "active",
        "tenant_status": "active",
        "expires_at": None,
        "previous": False,
    }
    by_id = await world.call(calls.FIND_CREDENTIAL, None, {"key_id": key["id"]})
    assert by_id.body == found


async def test_what_is_no_key_is_not_found(world: World) -> None:
    assert (await world.find(new_secret("live"))).status == 404
    for key_id in (new_id("key"), "", "%", "key_'; --"):
        found = await world.call(calls.FIND_CREDENTIAL, None, {"key_id": key_id})
        assert found.status == 404


async def test_keys_of_a_deleted_project_are_known_as_revoked(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    key = await world.new_key(tenant, project)
    await world.call(project_calls.DELETE_PROJECT, tenant, None, project)
    assert (await world.find(key["secret"])).body["status"] == "revoked"


async def test_a_refusal_is_recorded_once_a_minute_for_key_and_address(
    world: World, tenant: str
) -> None:
    key = await world.new_key(tenant, await world.new_project(tenant))

    async def refuse(address: str | None) -> None:
        body = {"tenant_id": tenant, "key_id": key["id"], "code": "insufficient_scope"}
        told = await world.call(
            calls.RECORD_REFUSAL, tenant, body, actor_id=key["id"], ip_address=address
        )
        assert told.status == 204

    async def recorded() -> list[dict[str, Any]]:
        events = await world.owner.events(tenant)
        return [each for each in events if each["type"] == "api_key.refused"]

    await asyncio.gather(*(refuse("203.0.113.7") for _ in range(10)))
    (only,) = await recorded()
    assert (only["subject"], only["actorid"]) == (key["id"], key["id"])
    assert only["data"]["code"] == "insufficient_scope"
    await refuse("203.0.113.8")
    await refuse(None)
    assert len(await recorded()) == 3
    await world.execute(
        "UPDATE refusals SET recorded_at = recorded_at - interval '1 minute' WHERE key_id = $1",
        key["id"],
    )
    await refuse("203.0.113.7")
    await refuse("203.0.113.7")
    assert len(await recorded()) == 4


async def test_a_refusal_of_a_key_that_is_not_the_tenants_is_not_recorded(
    world: World, tenant: str, other_tenant: str
) -> None:
    key = await world.new_key(tenant, await world.new_project(tenant))
    for key_id in (key["id"], new_id("key")):
        body = {"tenant_id": other_tenant, "key_id": key_id, "code": "revoked"}
        assert (await world.call(calls.RECORD_REFUSAL, None, body)).status == 204
    assert await world.happened(other_tenant) == []


async def test_the_last_use_never_moves_backwards(
    world: World, tenant: str, other_tenant: str
) -> None:
    project = await world.new_project(tenant)
    first, second = [await world.new_key(tenant, project) for _ in range(2)]
    now = datetime.now(UTC)
    early, late = [(now - timedelta(hours=hours)).isoformat() for hours in (2, 1)]

    async def use(*uses: tuple[str, str, str]) -> dict[str, str | None]:
        body = [{"key_id": k, "tenant_id": t, "used_at": at} for k, t, at in uses]
        assert (await world.call(calls.RECORD_USE, None, {"uses": body})).status == 204
        return {each["id"]: each["last_used_at"] for each in await world.keys(tenant, project)}

    shown = late.replace("+00:00", "Z")
    told = await use((first["id"], tenant, late), (first["id"], tenant, early))
    assert told == {first["id"]: shown, second["id"]: None}
    assert (await use((first["id"], tenant, early)))[first["id"]] == shown
    both = await use((second["id"], tenant, late), (new_id("key"), tenant, late))
    assert both == {first["id"]: shown, second["id"]: shown}
    foreign = (first["id"], other_tenant, now.isoformat())
    assert (await use(foreign))[first["id"]] == shown
    assert (await use()) == both
    assert await world.happened(tenant) == ["project.created", "api_key.created", "api_key.created"]


async def test_a_verdict_says_why_a_key_is_not_valid(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    key, dead, old = [await world.new_key(tenant, project) for _ in range(3)]
    await world.call(key_calls.REVOKE_API_KEY, tenant, None, project, dead["id"])
    await world.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", old["id"])
    before = await world.happened(tenant)
    listed = {each["id"]: each for each in await world.keys(tenant, project)}
    for secret, scopes, code, known in (
        (key["secret"], (), "valid", key),
        (key["secret"], ("users:read",), "valid", key),
        (key["secret"], ("users:read", "users:write"), "insufficient_scope", key),
        (dead["secret"], ("users:write",), "revoked", dead),
        (old["secret"], (), "expired", old),
        (new_secret("test"), (), "not_found", None),
    ):
        said = await verdict(world, tenant, secret, *scopes)
        assert (said["valid"], said["code"]) == (code == "valid", code)
        assert said["key"] == (listed[known["id"]] if known else None)
    malformed = await world.call(key_calls.VERIFY_API_KEY, tenant, {"secret_sha256": None})
    assert malformed.body == {"valid": False, "code": "not_found", "key": None}
    assert await world.happened(tenant) == before


async def test_another_tenants_key_does_not_verify(
    world: World, tenant: str, other_tenant: str
) -> None:
    key = await world.new_key(tenant, await world.new_project(tenant))
    assert (await verdict(world, other_tenant, key["secret"]))["code"] == "not_found"
