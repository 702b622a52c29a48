"""API keys of a project: create, list, revoke."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contracts import api_keys as calls
from contracts.ids import new_id
from contracts.secrets import is_secret
from service.projects.client import ProjectsClient

HIDDEN = {"secret", "secret_hash", "previous_hash"}


async def test_a_secret_is_shown_once_and_then_never(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    assert is_secret(key["secret"])
    assert key["secret"].startswith(key["prefix"])
    assert len(key["prefix"]) == len("tnt_test_") + 4
    (listed,) = await client.list_api_keys(tenant, project)
    assert listed == {name: value for name, value in key.items() if name != "secret"}
    assert HIDDEN.isdisjoint(listed)


@pytest.mark.parametrize(
    ("environment", "fields", "start"),
    [
        ("production", {}, "tnt_live_"),
        ("staging", {}, "tnt_test_"),
        ("production", {"type": "publishable", "scopes": []}, "tnt_pub_"),
    ],
)
async def test_the_secret_tells_where_it_belongs(
    client: ProjectsClient, tenant: str, environment: str, fields: dict[str, Any], start: str
) -> None:
    project = await client.create_project(tenant, environment=environment)
    key = await client.create_api_key(tenant, project, **fields)
    assert key["secret"].startswith(start)


async def test_a_repeated_creation_shows_the_secret_again(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    body = {"name": "Once", "scopes": ["users:read"]}
    first, repeated = [
        await client.call(calls.CREATE_API_KEY, tenant, body, project, idempotency_key="once")
        for _ in range(2)
    ]
    assert repeated.reply.body == first.reply.body
    assert repeated.body["secret"]
    assert repeated.reply.headers["Idempotent-Replayed"] == "true"
    assert len(await client.list_api_keys(tenant, project)) == 1
    stored = await client.pool.fetchval(
        "SELECT answer FROM idempotency WHERE tenant_id = $1", tenant
    )
    assert first.body["secret"] not in stored


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["users:delete"]}, "scopes.0"),
        ({"type": "publishable", "scopes": ["users:read"]}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": " "}, "name"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(
    client: ProjectsClient, tenant: str, fields: dict[str, Any], field: str
) -> None:
    project = await client.create_project(tenant)
    body = {"name": "Backend", "scopes": ["users:read"], **fields}
    refused = await client.call(calls.CREATE_API_KEY, tenant, body, project)
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, field)
    assert await client.list_api_keys(tenant, project) == []


@pytest.mark.parametrize("held", [(), ("users:read",), ("users:read", "api_keys:write")])
async def test_a_key_never_makes_a_stronger_one(
    client: ProjectsClient, tenant: str, held: tuple[str, ...]
) -> None:
    project = await client.create_project(tenant)
    for scopes in (["*"], ["users:write"], ["users:read", "users:write"]):
        body = {"name": "Stronger", "scopes": scopes}
        refused = await client.call(calls.CREATE_API_KEY, tenant, body, project, scopes=held)
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
        assert scopes[-1] in refused.body["detail"]
    if held:
        body = {"name": "Same", "scopes": ["users:read"]}
        created = await client.call(calls.CREATE_API_KEY, tenant, body, project, scopes=held)
        assert created.status == 201
    assert await client.event_types(tenant) == ["project.created"] + ["api_key.created"] * bool(
        held
    )


async def test_a_revoked_key_stays_listed_and_is_revoked_once(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    for status in (204, 404, 404):
        assert (
            await client.call(calls.REVOKE_API_KEY, tenant, None, project, key["id"])
        ).status == (status)
    (listed,) = await client.list_api_keys(tenant, project)
    assert (listed["status"], listed["revoked_at"] is not None) == ("revoked", True)
    assert (await client.find_credential(key["secret"])).body["status"] == "revoked"
    assert (await client.event_subjects(tenant))[1:] == [
        ("api_key.created", key["id"]),
        ("api_key.revoked", key["id"]),
    ]


async def test_a_key_expires_by_itself(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    key = await client.create_api_key(tenant, project, expires_at=soon)
    await client.create_api_key(tenant, project)
    assert await client.list_api_keys(tenant, project, status="expired") == []
    assert (await client.find_credential(key["secret"])).body["status"] == "active"
    await client.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", key["id"])
    assert (await client.find_credential(key["secret"])).body["status"] == "expired"
    (listed,) = await client.list_api_keys(tenant, project, status="expired")
    assert (listed["id"], listed["status"], listed["revoked_at"]) == (key["id"], "expired", None)
    assert key["id"] not in [
        each["id"] for each in await client.list_api_keys(tenant, project, status="active")
    ]
    refused = await client.call(calls.ROTATE_API_KEY, tenant, {}, project, key["id"])
    assert (refused.status, refused.body["code"]) == (409, "key_not_active")


async def test_a_revoked_key_that_expires_stays_revoked(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    key = await client.create_api_key(tenant, project, expires_at=soon)
    await client.call(calls.REVOKE_API_KEY, tenant, None, project, key["id"])
    await client.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", key["id"])
    assert await client.list_api_keys(tenant, project, status="expired") == []
    (listed,) = await client.list_api_keys(tenant, project, status="revoked")
    assert listed["id"] == key["id"]
    assert (await client.find_credential(key["secret"])).body["status"] == "revoked"


async def test_totals_of_a_status_are_exact(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    keys = [await client.create_api_key(tenant, project) for _ in range(9)]
    for key in keys[:2]:
        await client.call(calls.REVOKE_API_KEY, tenant, None, project, key["id"])
    expired = [key["id"] for key in keys[2:5]]
    await client.execute("UPDATE api_keys SET expires_at = now() WHERE id = ANY($1)", expired)
    for status, total in (("active", 4), ("expired", 3), ("revoked", 2), (None, 9)):
        query: dict[str, Any] = {"limit": 1} | ({"status": status} if status else {})
        listed = await client.call(calls.LIST_API_KEYS, tenant, None, project, query=query)
        pagination = listed.body["pagination"]
        assert (pagination["total"], pagination["total_exact"]) == (total, True)


async def test_a_list_is_filtered_by_status_and_type(client: ProjectsClient, tenant: str) -> None:
    project, other = await client.create_project(tenant), await client.create_project(tenant)
    active, revoked = [await client.create_api_key(tenant, project) for _ in range(2)]
    public = await client.create_api_key(tenant, project, type="publishable", scopes=[])
    await client.create_api_key(tenant, other)
    await client.call(calls.REVOKE_API_KEY, tenant, None, project, revoked["id"])
    for query, wanted in (
        ({}, [public, revoked, active]),
        ({"status": "active"}, [public, active]),
        ({"status": "revoked"}, [revoked]),
        ({"type": "publishable"}, [public]),
        ({"type": "secret", "status": "active"}, [active]),
    ):
        found = await client.list_api_keys(tenant, project, **query)
        assert [each["id"] for each in found] == [each["id"] for each in wanted]


async def test_another_tenants_keys_do_not_exist(
    client: ProjectsClient, tenant: str, other_tenant: str
) -> None:
    project, own = await client.create_project(tenant), await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    body = {"name": "Mine", "scopes": ["users:read"]}
    for caller, where, which in (
        (other_tenant, project, key["id"]),
        (tenant, own, key["id"]),
        (tenant, project, new_id("key")),
        (tenant, new_id("prj"), key["id"]),
        (tenant, "prj_x", "key_x"),
    ):
        for call, sent in ((calls.REVOKE_API_KEY, None), (calls.ROTATE_API_KEY, {})):
            assert (await client.call(call, caller, sent, where, which)).status == 404
    for caller, where in ((other_tenant, project), (tenant, new_id("prj"))):
        assert (await client.call(calls.LIST_API_KEYS, caller, None, where)).status == 404
        assert (await client.call(calls.CREATE_API_KEY, caller, body, where)).status == 404
    assert (await client.list_api_keys(tenant, project))[0]["status"] == "active"
