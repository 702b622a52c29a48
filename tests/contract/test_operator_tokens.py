"""The operator in one tenant: a token of its own, what it may, and what ends it."""

from typing import Any

import pytest
from support.api import Answer, Api
from support.stack import Stack, second_edge
from support.waiting import until


async def issue(operator: Api, tenant: str | None, **body: Any) -> Answer:
    return await operator("POST", f"/v1/admin/tenants/{tenant}/token", body)


@pytest.fixture
async def inside(api: Api, operator: Api) -> Api:
    """The operator in the tenant of `api`."""
    issued = await issue(operator, api.tenant)
    assert issued.status == 200, issued.raw
    return api.as_key(issued.body["access_token"])


async def test_the_operator_looks_into_a_tenant_with_a_token(api: Api, operator: Api) -> None:
    issued = await issue(operator, api.tenant, scope="users:read")
    assert (issued.status, issued.body["token_type"], issued.body["scope"]) == (
        200, "Bearer", "users:read",
    )  # fmt: skip
    assert 0 < issued.body["expires_in"] <= 900
    inside = api.as_key(issued.body["access_token"])
    await api("POST", "/v1/admin/users", {"email": "ada@example.com"})
    users = (await inside("GET", "/v1/admin/users")).body["users"]
    assert [each["email"] for each in users] == ["ada@example.com"]
    assert (await inside("POST", "/v1/admin/users", {"email": "b@example.com"})).status == 403
    who = (await inside("GET", "/v1/admin/tenant")).body
    assert who["tenant"]["id"] == api.tenant
    assert who["credential"].pop("expires_at")
    assert who["credential"] == {"id": None, "type": "access_token", "scopes": ["users:read"]}


async def test_a_change_stands_in_the_trail_as_the_operators(api: Api, inside: Api) -> None:
    user = (await inside("POST", "/v1/admin/users", {"email": "ada@example.com"})).body["id"]

    async def event() -> Any:
        found = await api("GET", f"/v1/admin/audit?resource_id={user}")
        return next(iter(found.body["events"]), None)

    await until(event)
    assert ((await event())["actor_type"], (await event())["actor_id"]) == ("operator", None)


async def test_it_makes_keys_that_outlive_it_and_are_the_tenants(api: Api, inside: Api) -> None:
    project = (await inside("POST", "/v1/admin/projects", {"name": "P"})).body["id"]
    made = await inside(
        "POST", f"/v1/admin/projects/{project}/api-keys", {"name": "k", "scopes": ["*"]}
    )
    assert (made.status, made.body["created_by"], made.body["expires_at"]) == (201, None, None)
    assert (await api.as_key(made.body["secret"])("GET", "/v1/admin/users")).status == 200


async def test_it_makes_none_of_the_operators_calls(api: Api, operator: Api, inside: Api) -> None:
    other = (await operator("POST", "/v1/admin/tenants", {"name": "Other"})).body["tenant"]["id"]
    own = f"/v1/admin/tenants/{api.tenant}"
    for method, path, body, status in (
        ("GET", "/v1/admin/tenants", None, 403),
        ("POST", "/v1/admin/tenants", {"name": "X"}, 403),
        ("GET", own, None, 200),
        ("PATCH", own, {"name": "Renamed"}, 200),
        ("PATCH", own, {"status": "suspended"}, 403),
        ("PATCH", own, {"quotas": {"webhooks": 5}}, 403),
        ("DELETE", own, None, 403),
        ("GET", f"{own}/deletion", None, 403),
        ("GET", f"{own}/root-keys", None, 403),
        ("POST", f"{own}/root-keys", {}, 403),
        ("POST", f"{own}/token", {}, 403),
        ("GET", f"/v1/admin/tenants/{other}", None, 404),
        ("PATCH", f"/v1/admin/tenants/{other}", {"name": "X"}, 404),
        ("POST", f"/v1/admin/tenants/{other}/token", {}, 403),
    ):
        assert (await inside(method, path, body)).status == status, (method, path)


async def test_only_the_operator_gets_one(api: Api, operator: Api, anyone: Api) -> None:
    assert (await issue(api, api.tenant)).status == 403
    assert (await issue(anyone, api.tenant)).status == 401
    assert (await issue(operator, "ten_01jt7a3v9qf8mbd2m0q5k4h6xz")).status == 404
    for body in ({"scope": "root"}, {"scope": ""}, {"scope": ["*"]}, {"tid": api.tenant}):
        assert (await issue(operator, api.tenant, **body)).status == 422, body
    path = f"/v1/admin/tenants/{api.tenant}/token?operator_key=mine"
    assert (await operator("POST", path, {})).status == 422


async def test_a_suspended_tenant_can_be_looked_into_and_not_changed(
    api: Api, operator: Api, inside: Api
) -> None:
    path = f"/v1/admin/tenants/{api.tenant}"
    assert (await operator("PATCH", path, {"status": "suspended"})).status == 200
    for looking in (inside, api.as_key((await issue(operator, api.tenant)).body["access_token"])):
        assert (await looking("GET", "/v1/admin/users")).status == 200
        refused = await looking("POST", "/v1/admin/users", {"email": "ada@example.com"})
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
        assert (await looking("PATCH", path, {"name": "X"})).status == 403
        scopes = (await looking("GET", "/v1/admin/tenant")).body["credential"]["scopes"]
        assert all(scope.endswith(":read") for scope in scopes)
    narrow = (await issue(operator, api.tenant, scope="users:write")).body["access_token"]
    assert (await api.as_key(narrow)("GET", "/v1/admin/users")).status == 403
    assert (await operator("PATCH", path, {"status": "active"})).status == 200
    assert (await inside("POST", "/v1/admin/users", {"email": "ada@example.com"})).status == 201


async def test_it_ends_with_the_tenant(api: Api, operator: Api, inside: Api) -> None:
    assert (await inside("GET", "/v1/admin/users")).status == 200
    path = f"/v1/admin/tenants/{api.tenant}"
    assert (await operator("DELETE", path)).status in (202, 204)
    assert (await inside("GET", "/v1/admin/users")).status == 401
    assert (await issue(operator, api.tenant)).status == 404


async def test_it_ends_with_the_operators_key(stack: Stack, inside: Api) -> None:
    assert (await inside("GET", "/v1/admin/users")).status == 200
    async with second_edge(stack) as url:
        same = Api(inside.http, url, inside.key)
        assert (await same("GET", "/v1/admin/users")).status == 200
    changed = "another-operator-key-of-40-characters-00"
    async with second_edge(stack, TENANTRY_OPERATOR_KEY=changed) as url:
        other = Api(inside.http, url, inside.key)
        assert (await other("GET", "/v1/admin/users")).status == 401


async def test_a_deletion_is_followed_until_every_service_has_confirmed(
    stack: Stack, api: Api, operator: Api
) -> None:
    path = f"/v1/admin/tenants/{api.tenant}"
    assert (await operator("GET", f"{path}/deletion")).status == 404
    stack.hang("webhooks", 19)
    try:
        assert (await operator("DELETE", path)).status == 202

        async def others_are_done() -> bool:
            deletion = (await operator("GET", f"{path}/deletion")).body
            assert deletion["status"] == "deleting"
            assert deletion["requested_at"]
            services = deletion["services"]
            assert set(services) == {"audit", "identity", "webhooks"}
            assert services["webhooks"] == {"status": "erasing", "confirmed_at": None}
            return all(
                services[name]["status"] == "erased" and services[name]["confirmed_at"]
                for name in ("audit", "identity")
            )

        await until(others_are_done, 20)
    finally:
        stack.hang("webhooks", 18)

    async def is_gone() -> bool:
        return (await operator("GET", f"{path}/deletion")).status == 404

    await until(is_gone, 20)
    assert (await operator("GET", path)).status == 404
