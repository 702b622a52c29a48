"""Quotas of a tenant: exact whatever comes at once, and the operator's to change."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from contracts import api_keys as key_calls
from contracts import projects as project_calls
from contracts import tenants as calls
from contracts.ids import new_id
from service.projects.client import ProjectsClient
from support.owner import Answer

Create = Callable[[], Awaitable[Answer]]


async def _count_created(create: Create, name: str, bound: int) -> int:
    """How many of six at once are created; the others are refused by this quota."""
    replies = await asyncio.gather(*(create() for _ in range(6)))
    for each in replies:
        if each.status != 201:
            assert (each.status, each.body["code"]) == (409, "quota_exceeded"), each.body
            assert (each.body["quota"], each.body["limit"]) == (name, bound)
    return sum(each.status == 201 for each in replies)


async def test_projects_are_bounded(client: ProjectsClient, tenant: str) -> None:
    async def create() -> Answer:
        body = {"name": "Shop", "slug": new_id("prj").replace("_", "-")}
        return await client.call(project_calls.CREATE_PROJECT, tenant, body, quotas={"projects": 3})

    await client.create_project(tenant)
    assert await _count_created(create, "projects", 3) == 2
    events = await client.event_types(tenant)
    assert events.count("project.created") == 3


async def test_keys_of_a_project_are_bounded_until_they_are_revoked(
    client: ProjectsClient, tenant: str
) -> None:
    project, other = [await client.create_project(tenant) for _ in range(2)]
    await client.create_api_key(tenant, other)
    quotas = {"api_keys_per_project": 2}

    async def create() -> Answer:
        body = {"name": "Backend", "scopes": ["users:read"]}
        return await client.call(key_calls.CREATE_API_KEY, tenant, body, project, quotas=quotas)

    assert await _count_created(create, "api_keys_per_project", 2) == 2
    key = (await client.list_api_keys(tenant, project))[0]["id"]
    revoked = await client.call(key_calls.REVOKE_API_KEY, tenant, None, project, key)
    assert revoked.status == 204
    assert await _count_created(create, "api_keys_per_project", 2) == 1


async def test_root_keys_are_bounded_by_the_quota_of_their_tenant(client: ProjectsClient) -> None:
    tenant = (await client.create_tenant(quotas={"root_keys": 3}))["tenant"]
    assert tenant["quotas"] == {"root_keys": 3}

    async def create() -> Answer:
        return await client.call_as_operator(calls.CREATE_ROOT_KEY, {}, tenant["id"])

    assert await _count_created(create, "root_keys", 3) == 2
    assert (
        await client.call_as_operator(
            calls.UPDATE_TENANT, {"quotas": {"root_keys": None, "webhooks": 5}}, tenant["id"]
        )
    ).body["quotas"] == {"webhooks": 5}
    assert (await create()).status == 201


@pytest.mark.parametrize("quotas", [{"users": 5}, {"webhooks": -1}, {"webhooks": "5"}, ["x"]])
async def test_a_quota_is_a_known_number(client: ProjectsClient, quotas: object) -> None:
    tenant = (await client.create_tenant())["tenant"]["id"]
    refused = await client.call_as_operator(calls.UPDATE_TENANT, {"quotas": quotas}, tenant)
    assert (refused.status, refused.body["code"]) == (422, "validation_failed")


async def test_a_tenant_cannot_change_its_quotas(client: ProjectsClient) -> None:
    tenant = (await client.create_tenant())["tenant"]["id"]
    body = {"quotas": {"webhooks": 1000}}
    refused = await client.call(calls.UPDATE_TENANT, tenant, body, tenant)
    assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")


async def test_a_credential_brings_the_quotas_of_its_tenant(client: ProjectsClient) -> None:
    created = await client.create_tenant(quotas={"webhooks": 7})
    found = await client.find_credential(created["api_key"]["secret"])
    assert found.body["quotas"] == {"webhooks": 7}
