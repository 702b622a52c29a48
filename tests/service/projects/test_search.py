"""The search and the counts of projects: for tenants their own, for the operator tenants."""

from typing import Any

from contracts import signing_keys as signing_calls
from contracts import tenants as tenant_calls
from contracts.calls import Call
from contracts.ids import new_id
from contracts.overview import GET_PROJECTS_OVERVIEW, GET_TENANTS_OVERVIEW
from contracts.search import (
    SEARCH_API_KEYS,
    SEARCH_PROJECTS,
    SEARCH_SIGNING_KEYS,
    SEARCH_TENANTS,
)
from service.projects.client import ProjectsClient


async def found(client: ProjectsClient, call: Call, tenant: str, q: str) -> list[dict[str, Any]]:
    answer = await client.call(call, tenant, query={"q": q})
    assert answer.status == 200, answer.body
    return list(answer.body["results"])


async def test_projects_and_their_keys_are_found_by_the_tenant_alone(
    client: ProjectsClient,
) -> None:
    made = await client.create_tenant()
    tenant, stranger = made["tenant"]["id"], (await client.create_tenant())["tenant"]["id"]
    project = await client.create_project(tenant, name="Shop", slug="the-shop")
    key = await client.create_api_key(tenant, project, name="Backend")
    listed = await client.call(signing_calls.LIST_SIGNING_KEYS, tenant, None, project)
    kid = listed.body["signing_keys"][0]["id"]
    path = f"/v1/admin/projects/{project}"
    for call, q, name, where in (
        (SEARCH_PROJECTS, project, "Shop", path),
        (SEARCH_PROJECTS, "THE-SHOP", "Shop", path),
        (SEARCH_PROJECTS, "sho", "Shop", path),
        (SEARCH_API_KEYS, key["id"], "Backend", f"{path}/api-keys"),
        (SEARCH_API_KEYS, made["api_key"]["id"], "Root key", "/v1/admin/tenant"),
        (SEARCH_SIGNING_KEYS, kid, kid, f"{path}/signing-keys"),
    ):
        (result,) = await found(client, call, tenant, q)
        assert (result["name"], result["path"]) == (name, where)
        assert await found(client, call, stranger, q) == []
    assert await found(client, SEARCH_PROJECTS, tenant, new_id("prj")) == []
    counted = await client.call(GET_PROJECTS_OVERVIEW, tenant)
    assert counted.body["projects"] == {"total": 1, "total_exact": True}


async def test_the_operator_finds_and_counts_tenants(client: ProjectsClient) -> None:
    async def counts() -> dict[str, int]:
        return dict((await client.call_as_operator(GET_TENANTS_OVERVIEW)).body["tenants"])

    before = await counts()
    slug = new_id("ten").replace("_", "-")
    tenant = (await client.create_tenant(name="Zanzibar Ltd.", slug=slug))["tenant"]["id"]
    for q in (tenant, slug.upper(), "zanzibar"):
        answer = await client.call_as_operator(SEARCH_TENANTS, query={"q": q})
        (result,) = answer.body["results"]
        assert (result["type"], result["id"], result["detail"]) == ("tenant", tenant, slug)
        assert result["path"] == f"/v1/admin/tenants/{tenant}"
    await client.call_as_operator(tenant_calls.UPDATE_TENANT, {"status": "suspended"}, tenant)
    after = await counts()
    assert after["total"] == before["total"] + 1 == sum(after.values()) - after["total"]
    assert after["suspended"] == before["suspended"] + 1
