"""Root keys: a leaked one is replaced by the operator, and a tenant is never left without one."""

import asyncio

from contracts import api_keys as key_calls
from contracts import tenants as calls
from contracts.ids import new_id
from contracts.secrets import is_secret
from service.projects.client import ProjectsClient


async def root_keys(client: ProjectsClient, tenant: str, **query: str) -> list[str]:
    listed = await client.call_as_operator(calls.LIST_ROOT_KEYS, None, tenant, query=query)
    return [each["id"] for each in listed.body["api_keys"]]


async def test_a_leaked_root_key_is_replaced_and_revoked(client: ProjectsClient) -> None:
    created = await client.create_tenant()
    tenant, leaked = created["tenant"]["id"], created["api_key"]
    await client.create_api_key(tenant, await client.create_project(tenant))
    second = await client.call_as_operator(calls.CREATE_ROOT_KEY, {"name": "Second"}, tenant)
    assert (second.status, second.reply.created) == (201, second.body["id"])
    assert is_secret(second.body["secret"])
    assert (second.body["project_id"], second.body["scopes"]) == (None, ["*"])
    assert second.body["name"] == "Second"
    assert await root_keys(client, tenant) == [second.body["id"], leaked["id"]]
    revoked = await client.call_as_operator(calls.REVOKE_ROOT_KEY, None, tenant, leaked["id"])
    assert revoked.status == 204
    assert (await client.find_credential(leaked["secret"])).body["status"] == "revoked"
    found = (await client.find_credential(second.body["secret"])).body
    assert (found["tenant_id"], found["status"], found["scopes"]) == (tenant, "active", ["*"])
    assert await root_keys(client, tenant, status="active") == [second.body["id"]]
    assert await root_keys(client, tenant, status="revoked") == [leaked["id"]]
    repeated = await client.call_as_operator(calls.REVOKE_ROOT_KEY, None, tenant, leaked["id"])
    assert repeated.status == 404
    assert (await client.event_subjects(tenant))[-2:] == [
        ("api_key.created", second.body["id"]),
        ("api_key.revoked", leaked["id"]),
    ]
    last = (await client.events(tenant))[-1]
    assert (last["actortype"], last["actorid"], last["tenantid"]) == ("operator", None, tenant)


async def test_the_secret_of_a_root_key_is_shown_once(client: ProjectsClient) -> None:
    tenant = (await client.create_tenant())["tenant"]["id"]
    second = await client.call_as_operator(
        calls.CREATE_ROOT_KEY, {}, tenant, idempotency_key=new_id("req")
    )
    assert second.body["name"] == "Root key"
    listed = await client.call_as_operator(calls.LIST_ROOT_KEYS, None, tenant)
    assert second.body["secret"] not in listed.reply.body.decode()
    for each in await client.events(tenant):
        assert second.body["secret"] not in str(each)


async def test_the_last_root_key_stays(client: ProjectsClient) -> None:
    created = await client.create_tenant()
    tenant, key = created["tenant"]["id"], created["api_key"]
    await client.create_api_key(tenant, await client.create_project(tenant), scopes=["*"])
    refused = await client.call_as_operator(calls.REVOKE_ROOT_KEY, None, tenant, key["id"])
    assert (refused.status, refused.body["code"]) == (409, "last_root_key")
    assert (await client.find_credential(key["secret"])).body["status"] == "active"
    assert "api_key.revoked" not in await client.event_types(tenant)


async def test_root_keys_revoked_at_the_same_time_leave_one(client: ProjectsClient) -> None:
    created = await client.create_tenant()
    tenant = created["tenant"]["id"]
    for _ in range(4):
        await client.call_as_operator(calls.CREATE_ROOT_KEY, {}, tenant)
    keys = await root_keys(client, tenant)
    replies = await asyncio.gather(
        *(client.call_as_operator(calls.REVOKE_ROOT_KEY, None, tenant, each) for each in keys)
    )
    assert sorted(each.status for each in replies) == [204] * 4 + [409]
    assert len(await root_keys(client, tenant, status="active")) == 1


async def test_only_root_keys_of_a_tenant_that_is_there_are_found(client: ProjectsClient) -> None:
    created, other = await client.create_tenant(), await client.create_tenant()
    tenant = created["tenant"]["id"]
    project = await client.create_project(tenant)
    ordinary = await client.create_api_key(tenant, project)
    await client.call_as_operator(calls.CREATE_ROOT_KEY, {}, tenant)
    for where, which in (
        (tenant, ordinary["id"]),
        (tenant, other["api_key"]["id"]),
        (tenant, new_id("key")),
        (new_id("ten"), created["api_key"]["id"]),
        ("ten_x", "key_x"),
    ):
        refused = await client.call_as_operator(calls.REVOKE_ROOT_KEY, None, where, which)
        assert refused.status == 404
    root = created["api_key"]["id"]
    for call, body in ((key_calls.REVOKE_API_KEY, None), (key_calls.ROTATE_API_KEY, {})):
        assert (await client.call(call, tenant, body, project, root)).status == 404
    await client.call_as_operator(calls.DELETE_TENANT, None, tenant)
    for where in (tenant, new_id("ten")):
        assert (await client.call_as_operator(calls.CREATE_ROOT_KEY, {}, where)).status == 404
        assert (await client.call_as_operator(calls.LIST_ROOT_KEYS, None, where)).status == 404
    assert (await client.call_as_operator(calls.REVOKE_ROOT_KEY, None, tenant, root)).status == 404
