"""Tenants: made, suspended by the operator; what a tenant may do to itself."""

from typing import Any

from contracts import tenants as calls
from contracts.ids import new_id
from contracts.signing_keys import SIGN_TOKEN
from service.projects.world import World


async def test_a_new_tenant_comes_with_a_key_for_everything(world: World) -> None:
    made = await world.new_tenant(name=" Acme Inc. ", settings={"region": "eu"})
    tenant, key = made["tenant"], made["api_key"]
    assert (tenant["name"], tenant["status"], tenant["version"]) == ("Acme Inc.", "active", 1)
    assert (key["project_id"], key["scopes"]) == (None, ["*"])
    found = await world.find(key["secret"])
    assert (found.body["key_id"], found.body["tenant_id"]) == (key["id"], tenant["id"])
    assert await world.events(tenant["id"]) == [
        ("tenant.created", tenant["id"]),
        ("api_key.created", key["id"]),
    ]


async def test_a_repeated_creation_shows_the_first_secret_again(world: World) -> None:
    body, once = {"name": "Acme", "slug": new_id("ten").replace("_", "-")}, new_id("req")
    first = await world.operator(calls.CREATE_TENANT, body, idempotency_key=once)
    again = await world.operator(calls.CREATE_TENANT, body, idempotency_key=once)
    assert again.reply.body == first.reply.body
    assert again.body["api_key"]["secret"]
    assert len(await world.happened(first.body["tenant"]["id"])) == 2


async def test_a_slug_is_derived_and_unique_among_all_tenants(world: World) -> None:
    name = new_id("ten")
    made = await world.operator(calls.CREATE_TENANT, {"name": name})
    assert made.body["tenant"]["slug"] == name.replace("_", "-")
    again = await world.operator(calls.CREATE_TENANT, {"name": name})
    assert (again.status, again.body["code"]) == (409, "slug_taken")


async def test_who_am_i_tells_tenant_credential_and_root_keys(world: World) -> None:
    made = await world.new_tenant()
    key = made["api_key"]
    await world.new_key(made["tenant"]["id"], await world.new_project(made["tenant"]["id"]))
    who = await world.call(
        calls.WHO_AM_I,
        made["tenant"]["id"],
        credential="access_token",
        credential_expires_at="2026-01-15T10:00:00Z",
        actor_id=key["id"],
        scopes=("users:read",),
    )
    assert who.body["tenant"] == made["tenant"]
    assert who.body["credential"] == {
        "id": key["id"],
        "type": "access_token",
        "scopes": ["users:read"],
        "expires_at": "2026-01-15T10:00:00Z",
    }
    assert who.body["root_keys"] == [
        {name: value for name, value in key.items() if name != "secret"}
    ]


async def test_a_tenant_changes_its_name_and_settings_only(world: World, tenant: str) -> None:
    patch: dict[str, Any] = {"name": "New", "settings": {"theme": {"dark": True}}}
    changed = await world.call(calls.UPDATE_TENANT, tenant, patch, tenant)
    assert (changed.body["name"], changed.body["version"]) == ("New", 2)
    assert changed.body["settings"] == {"theme": {"dark": True}}
    weak = await world.call(
        calls.UPDATE_TENANT, tenant, {"name": "X"}, tenant, scopes=("projects:write",)
    )
    assert (weak.status, weak.body["code"]) == (403, "insufficient_scope")
    for beyond in ({"slug": "other"}, {"status": "suspended"}, {"name": "X", "status": "active"}):
        refused = await world.call(calls.UPDATE_TENANT, tenant, beyond, tenant)
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
        assert "operator" in refused.body["detail"]
    assert await world.happened(tenant) == ["tenant.updated"]


async def test_to_a_tenant_there_is_no_other(world: World, tenant: str) -> None:
    other = (await world.new_tenant())["tenant"]["id"]
    for wanted in (other, new_id("ten"), "ten_x"):
        found = await world.call(calls.GET_TENANT, tenant, None, wanted)
        changed = await world.call(calls.UPDATE_TENANT, tenant, {"status": "active"}, wanted)
        assert (found.status, changed.status) == (404, 404)
    assert (await world.call(calls.GET_TENANT, tenant, None, tenant)).status == 200


async def test_suspending_and_resuming_are_said_once_each(world: World) -> None:
    made = await world.new_tenant()
    tenant, secret = made["tenant"]["id"], made["api_key"]["secret"]
    for status in ("suspended", "suspended", "active", "active"):
        changed = await world.operator(calls.UPDATE_TENANT, {"status": status}, tenant)
        assert changed.body["status"] == status
        assert (await world.find(secret)).body["tenant_status"] == status
    assert await world.happened(tenant) == [
        "tenant.created",
        "api_key.created",
        "tenant.suspended",
        "tenant.resumed",
    ]


async def test_a_suspended_tenant_signs_no_session_on(world: World, tenant: str) -> None:
    wanted = {"project_id": await world.new_project(tenant), "claims": {"sub": new_id("usr")}}
    for status, answered in (("suspended", 403), ("active", 200)):
        await world.operator(calls.UPDATE_TENANT, {"status": status}, tenant)
        assert (await world.call(SIGN_TOKEN, tenant, wanted)).status == answered
    await world.operator(calls.DELETE_TENANT, None, tenant)
    assert (await world.call(SIGN_TOKEN, tenant, wanted)).status == 404


async def test_a_stale_version_changes_nothing(world: World, tenant: str) -> None:
    await world.operator(calls.UPDATE_TENANT, {"name": "Second"}, tenant)
    stale = await world.operator(calls.UPDATE_TENANT, {"name": "Third"}, tenant, if_match='"1"')
    assert (stale.status, stale.body["code"]) == (412, "version_mismatch")
    gone = await world.operator(calls.DELETE_TENANT, None, tenant, if_match='"1"')
    assert gone.status == 412


async def test_the_operator_searches_all_tenants(world: World) -> None:
    word = new_id("ten")[-12:]
    made = [(await world.new_tenant(name=f"{word} {n}"))["tenant"] for n in range(3)]
    await world.operator(calls.UPDATE_TENANT, {"status": "suspended"}, made[1]["id"])
    found = await world.operator(calls.LIST_TENANTS, query={"q": word.upper(), "sort": "-name"})
    assert [each["id"] for each in found.body["tenants"]] == [each["id"] for each in made[::-1]]
    found = await world.operator(calls.LIST_TENANTS, query={"q": word, "status": "suspended"})
    assert [each["id"] for each in found.body["tenants"]] == [made[1]["id"]]
    everyone = await world.operator(calls.LIST_TENANTS, query={"limit": 2})
    assert everyone.body["pagination"]["total"] >= 3
    cursor = everyone.body["pagination"]["next_cursor"]
    following = await world.operator(calls.LIST_TENANTS, query={"limit": 1, "cursor": cursor})
    assert following.body["tenants"][0]["id"] < everyone.body["tenants"][-1]["id"]
