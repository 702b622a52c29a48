"""Projects: create, get, list, update, delete."""

from typing import Any

import pytest
from contracts import api_keys as key_calls
from contracts import projects as calls
from contracts import signing_keys as signing_calls
from contracts.ids import new_id
from contracts.projects import ProjectSettings
from service.projects.client import ProjectsClient
from support.case_variants import HOSTILE_NAMES, variants


async def test_a_new_project_has_all_settings_and_is_found_again(
    client: ProjectsClient, tenant: str
) -> None:
    body = {"name": " My Shop ", "settings": {"mfa": "required"}}
    created = await client.call(calls.CREATE_PROJECT, tenant, body)
    assert (created.status, created.reply.created) == (201, created.body["id"])
    assert (created.body["slug"], created.body["environment"]) == ("my-shop", "development")
    assert created.body["settings"] == ProjectSettings(mfa="required").model_dump()
    found = await client.call(calls.GET_PROJECT, tenant, None, created.body["id"])
    assert found.body == created.body
    (event,) = await client.events(tenant)
    assert (event["type"], event["data"]) == ("project.created", {"project": created.body})


async def test_another_tenants_project_does_not_exist(
    client: ProjectsClient, tenant: str, other_tenant: str
) -> None:
    project = await client.create_project(tenant)
    for call, body in (
        (calls.GET_PROJECT, None),
        (calls.UPDATE_PROJECT, {"name": "Mine"}),
        (calls.DELETE_PROJECT, None),
    ):
        for caller, wanted in ((other_tenant, project), (tenant, new_id("prj"))):
            refused = await client.call(call, caller, body, wanted)
            assert (refused.status, refused.body["code"]) == (404, "not_found")


async def test_a_slug_is_unique_in_its_tenant(
    client: ProjectsClient, tenant: str, other_tenant: str
) -> None:
    await client.create_project(tenant, slug="shop")
    repeated = await client.call(calls.CREATE_PROJECT, tenant, {"name": "SHOP"})
    assert (repeated.status, repeated.body["code"]) == (409, "slug_taken")
    await client.create_project(other_tenant, slug="shop")
    other = await client.create_project(tenant)
    updated = await client.call(calls.UPDATE_PROJECT, tenant, {"slug": "shop"}, other)
    assert (updated.status, updated.body["code"]) == (409, "slug_taken")


async def test_settings_merge_and_null_returns_to_the_default(
    client: ProjectsClient, tenant: str
) -> None:
    settings = {"access_token_ttl": 60, "mfa": "off"}
    project = await client.create_project(tenant, settings=settings)
    patch = {"settings": {"access_token_ttl": None, "allow_sign_up": False}}
    patched = await client.call(calls.UPDATE_PROJECT, tenant, patch, project)
    wanted = ProjectSettings(mfa="off", allow_sign_up=False).model_dump()
    assert (patched.body["settings"], patched.body["version"]) == (wanted, 2)
    before = ProjectSettings(access_token_ttl=60, mfa="off").model_dump()
    event = (await client.events(tenant))[-1]
    assert event["data"]["changes"] == {"settings": {"from": before, "to": wanted}}
    found = await client.call(calls.GET_PROJECT, tenant, None, project)
    assert found.body == patched.body == event["data"]["project"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"colour": "red"}, "settings.colour"),
        ({"colour": None}, "settings.colour"),
        ({"access_token_ttl": 59}, "settings.access_token_ttl"),
        ({"allow_sign_up": "yes"}, "settings.allow_sign_up"),
    ],
)
async def test_wrong_settings_are_refused_by_name(
    client: ProjectsClient, tenant: str, settings: dict[str, Any], field: str
) -> None:
    project = await client.create_project(tenant)
    refused = await client.call(calls.UPDATE_PROJECT, tenant, {"settings": settings}, project)
    assert refused.status == 422
    assert [each["field"] for each in refused.body["errors"]] == [field]


async def test_a_patch_that_changes_nothing_has_no_event(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    for patch in ({}, {"name": "Shop"}, {"settings": {"mfa": None, "allow_sign_up": True}}):
        same = await client.call(calls.UPDATE_PROJECT, tenant, patch, project)
        assert (same.status, same.body["version"]) == (200, 1)
    assert len(await client.events(tenant)) == 1


async def test_a_stale_version_is_refused(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    for call, body in ((calls.UPDATE_PROJECT, {"name": "New"}), (calls.DELETE_PROJECT, None)):
        stale = await client.call(call, tenant, body, project, if_match='"9"')
        assert (stale.status, stale.body["code"]) == (412, "version_mismatch")


async def test_a_list_is_filtered_and_sorted(client: ProjectsClient, tenant: str) -> None:
    for name, environment in (("B", "production"), ("A", "staging"), ("C", "production")):
        await client.create_project(tenant, name=f"Shop {name}", environment=environment)

    async def names(**query: str) -> list[str]:
        found = await client.call(calls.LIST_PROJECTS, tenant, query=query)
        assert found.body["pagination"]["total"] == len(found.body["projects"])
        return [each["name"][-1] for each in found.body["projects"]]

    assert await names() == ["C", "A", "B"]
    assert await names(sort="name") == ["A", "B", "C"]
    assert await names(environment="production", sort="created_at") == ["B", "C"]
    assert await names(q="op a") == ["A"]


async def test_a_deletion_revokes_and_deletes_its_keys(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    key, revoked = [await client.create_api_key(tenant, project) for _ in range(2)]
    await client.call(key_calls.REVOKE_API_KEY, tenant, None, project, revoked["id"])
    dry_run = {"dry_run": "true"}
    preview = await client.call(calls.DELETE_PROJECT, tenant, None, project, query=dry_run)
    assert preview.body == {"would_delete": {"api_keys": 1, "signing_keys": 2}}
    before = len(await client.events(tenant))
    deleted = await client.call(calls.DELETE_PROJECT, tenant, None, project)
    assert (deleted.status, deleted.body) == (204, None)
    events = (await client.events(tenant))[before:]
    assert [(each["type"], each["subject"]) for each in events] == [
        ("api_key.revoked", key["id"]),
        ("project.deleted", project),
    ]
    assert events[0]["data"]["api_key"]["status"] == "revoked"
    assert (await client.call(signing_calls.GET_JWKS, None, None, project)).status == 404
    assert (await client.call(calls.DELETE_PROJECT, tenant, None, project)).status == 404
    kept = await client.pool.fetchval(
        "SELECT status FROM api_keys WHERE tenant_id = $1 AND id = $2", tenant, key["id"]
    )
    assert kept == "revoked"


async def test_a_project_is_found_by_each_form_of_its_name(client: ProjectsClient) -> None:
    tenant = (await client.create_tenant())["tenant"]["id"]
    for name in HOSTILE_NAMES:
        project = await client.create_project(tenant, name=name)
        for text in variants(name):
            found = await client.call(calls.LIST_PROJECTS, tenant, query={"q": text})
            assert project in [each["id"] for each in found.body["projects"]], ascii(text)
