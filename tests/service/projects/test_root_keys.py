"""Root keys: a leaked one is replaced by the operator, and a tenant is never left without one."""

import asyncio

from contracts import api_keys as key_calls
from contracts import tenants as calls
from contracts.ids import new_id
from contracts.secrets import is_secret
from service.projects.world import World


async def root_keys(world: World, tenant: str, **query: str) -> list[str]:
    listed = await world.operator(calls.LIST_ROOT_KEYS, None, tenant, query=query)
    return [each["id"] for each in listed.body["api_keys"]]


async def test_a_leaked_root_key_is_replaced_and_revoked(world: World) -> None:
    made = await world.new_tenant()
    tenant, leaked = made["tenant"]["id"], made["api_key"]
    await world.new_key(tenant, await world.new_project(tenant))
    fresh = await world.operator(calls.CREATE_ROOT_KEY, {"name": "Second"}, tenant)
    assert (fresh.status, fresh.reply.created) == (201, fresh.body["id"])
    assert is_secret(fresh.body["secret"])
    assert (fresh.body["project_id"], fresh.body["scopes"]) == (None, ["*"])
    assert fresh.body["name"] == "Second"
    assert await root_keys(world, tenant) == [fresh.body["id"], leaked["id"]]
    revoked = await world.operator(calls.REVOKE_ROOT_KEY, None, tenant, leaked["id"])
    assert revoked.status == 204
    assert (await world.find(leaked["secret"])).body["status"] == "revoked"
    found = (await world.find(fresh.body["secret"])).body
    assert (found["tenant_id"], found["status"], found["scopes"]) == (tenant, "active", ["*"])
    assert await root_keys(world, tenant, status="active") == [fresh.body["id"]]
    assert await root_keys(world, tenant, status="revoked") == [leaked["id"]]
    again = await world.operator(calls.REVOKE_ROOT_KEY, None, tenant, leaked["id"])
    assert again.status == 404
    assert (await world.events(tenant))[-2:] == [
        ("api_key.created", fresh.body["id"]),
        ("api_key.revoked", leaked["id"]),
    ]
    last = (await world.owner.events(tenant))[-1]
    assert (last["actortype"], last["actorid"], last["tenantid"]) == ("operator", None, tenant)


async def test_the_secret_of_a_root_key_is_shown_once(world: World) -> None:
    tenant = (await world.new_tenant())["tenant"]["id"]
    fresh = await world.operator(calls.CREATE_ROOT_KEY, {}, tenant, idempotency_key=new_id("req"))
    assert fresh.body["name"] == "Root key"
    listed = await world.operator(calls.LIST_ROOT_KEYS, None, tenant)
    assert fresh.body["secret"] not in listed.reply.body.decode()
    for each in await world.owner.events(tenant):
        assert fresh.body["secret"] not in str(each)


async def test_the_last_root_key_stays(world: World) -> None:
    made = await world.new_tenant()
    tenant, key = made["tenant"]["id"], made["api_key"]
    await world.new_key(tenant, await world.new_project(tenant), scopes=["*"])
    refused = await world.operator(calls.REVOKE_ROOT_KEY, None, tenant, key["id"])
    assert (refused.status, refused.body["code"]) == (409, "last_root_key")
    assert (await world.find(key["secret"])).body["status"] == "active"
    assert "api_key.revoked" not in await world.happened(tenant)


async def test_root_keys_revoked_at_the_same_time_leave_one(world: World) -> None:
    made = await world.new_tenant()
    tenant = made["tenant"]["id"]
    for _ in range(4):
        await world.operator(calls.CREATE_ROOT_KEY, {}, tenant)
    keys = await root_keys(world, tenant)
    answers = await asyncio.gather(
        *(world.operator(calls.REVOKE_ROOT_KEY, None, tenant, each) for each in keys)
    )
    assert sorted(each.status for each in answers) == [204] * 4 + [409]
    assert len(await root_keys(world, tenant, status="active")) == 1


async def test_only_root_keys_of_a_tenant_that_is_there_are_found(world: World) -> None:
    made, other = await world.new_tenant(), await world.new_tenant()
    tenant = made["tenant"]["id"]
    project = await world.new_project(tenant)
    ordinary = await world.new_key(tenant, project)
    await world.operator(calls.CREATE_ROOT_KEY, {}, tenant)
    for where, which in (
        (tenant, ordinary["id"]),
        (tenant, other["api_key"]["id"]),
        (tenant, new_id("key")),
        (new_id("ten"), made["api_key"]["id"]),
        ("ten_x", "key_x"),
    ):
        refused = await world.operator(calls.REVOKE_ROOT_KEY, None, where, which)
        assert refused.status == 404
    root = made["api_key"]["id"]
    for call, body in ((key_calls.REVOKE_API_KEY, None), (key_calls.ROTATE_API_KEY, {})):
        assert (await world.call(call, tenant, body, project, root)).status == 404
    await world.operator(calls.DELETE_TENANT, None, tenant)
    for where in (tenant, new_id("ten")):
        assert (await world.operator(calls.CREATE_ROOT_KEY, {}, where)).status == 404
        assert (await world.operator(calls.LIST_ROOT_KEYS, None, where)).status == 404
    assert (await world.operator(calls.REVOKE_ROOT_KEY, None, tenant, root)).status == 404
