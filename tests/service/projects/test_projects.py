"""Projects, asked of their owner alone."""

from typing import Any

import pytest
from contracts import api_keys as key_calls
from contracts import projects as calls
from contracts import signing_keys as signing_calls
from contracts.ids import new_id
from contracts.projects import ProjectSettings
from support.owner import Owner


async def _made(projects: Owner, tenant: str, **body: Any) -> dict[str, str]:
    made = await projects.call(calls.CREATE_PROJECT, tenant, {"name": "Shop", **body})
    assert made.status == 201, made.body
    return {"id": made.body["id"]}


async def test_a_new_project_has_all_settings_and_is_found_again(
    projects: Owner, tenant: str
) -> None:
    made = await projects.call(
        calls.CREATE_PROJECT, tenant, {"name": " My Shop ", "settings": {"mfa": "required"}}
    )
    assert (made.status, made.reply.created) == (201, made.body["id"])
    assert (made.body["slug"], made.body["environment"]) == ("my-shop", "development")
    assert made.body["settings"] == ProjectSettings(mfa="required").model_dump()
    found = await projects.call(calls.GET_PROJECT, tenant, path={"id": made.body["id"]})
    assert found.body == made.body
    (created,) = await projects.events(tenant)
    assert (created["type"], created["data"]) == ("project.created", {"project": made.body})


async def test_another_tenants_project_does_not_exist(
    projects: Owner, tenant: str, other_tenant: str
) -> None:
    path = await _made(projects, tenant)
    for call, body in (
        (calls.GET_PROJECT, None),
        (calls.UPDATE_PROJECT, {"name": "Mine"}),
        (calls.DELETE_PROJECT, None),
    ):
        for caller, wanted in ((other_tenant, path), (tenant, {"id": new_id("prj")})):
            refused = await projects.call(call, caller, body, path=wanted)
            assert (refused.status, refused.body["code"]) == (404, "not_found")


async def test_a_slug_is_unique_in_its_tenant(
    projects: Owner, tenant: str, other_tenant: str
) -> None:
    await _made(projects, tenant)
    again = await projects.call(calls.CREATE_PROJECT, tenant, {"name": "SHOP"})
    assert (again.status, again.body["code"]) == (409, "slug_taken")
    await _made(projects, other_tenant)
    path = await _made(projects, tenant, name="Other")
    moved = await projects.call(calls.UPDATE_PROJECT, tenant, {"slug": "shop"}, path=path)
    assert (moved.status, moved.body["code"]) == (409, "slug_taken")


async def test_settings_merge_and_null_returns_to_the_default(projects: Owner, tenant: str) -> None:
    path = await _made(projects, tenant, settings={"access_token_ttl": 60, "mfa": "off"})
    patch = {"settings": {"access_token_ttl": None, "allow_sign_up": False}}
    patched = await projects.call(calls.UPDATE_PROJECT, tenant, patch, path=path)
    wanted = ProjectSettings(mfa="off", allow_sign_up=False).model_dump()
    assert (patched.body["settings"], patched.body["version"]) == (wanted, 2)
    before = ProjectSettings(access_token_ttl=60, mfa="off").model_dump()
    updated = (await projects.events(tenant))[-1]
    assert updated["data"]["changes"] == {"settings": {"from": before, "to": wanted}}
    found = await projects.call(calls.GET_PROJECT, tenant, path=path)
    assert found.body == patched.body == updated["data"]["project"]


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
    projects: Owner, tenant: str, settings: dict[str, Any], field: str
) -> None:
    path = await _made(projects, tenant)
    refused = await projects.call(calls.UPDATE_PROJECT, tenant, {"settings": settings}, path=path)
    assert refused.status == 422
    assert [each["field"] for each in refused.body["errors"]] == [field]


async def test_a_patch_that_changes_nothing_has_no_event(projects: Owner, tenant: str) -> None:
    path = await _made(projects, tenant)
    for patch in ({}, {"name": "Shop"}, {"settings": {"mfa": None, "allow_sign_up": True}}):
        same = await projects.call(calls.UPDATE_PROJECT, tenant, patch, path=path)
        assert (same.status, same.body["version"]) == (200, 1)
    assert len(await projects.events(tenant)) == 1


async def test_a_stale_version_is_refused(projects: Owner, tenant: str) -> None:
    path = await _made(projects, tenant)
    for call, body in ((calls.UPDATE_PROJECT, {"name": "New"}), (calls.DELETE_PROJECT, None)):
        stale = await projects.call(call, tenant, body, path=path, if_match='"9"')
        assert (stale.status, stale.body["code"]) == (412, "version_mismatch")


async def test_a_list_is_filtered_and_sorted(projects: Owner, tenant: str) -> None:
    for name, environment in (("B", "production"), ("A", "staging"), ("C", "production")):
        await _made(projects, tenant, name=f"Shop {name}", environment=environment)

    async def names(**query: str) -> list[str]:
        found = await projects.call(calls.LIST_PROJECTS, tenant, query=query)
        assert found.body["pagination"]["total"] == len(found.body["projects"])
        return [each["name"][-1] for each in found.body["projects"]]

    assert await names() == ["C", "A", "B"]
    assert await names(sort="name") == ["A", "B", "C"]
    assert await names(environment="production", sort="created_at") == ["B", "C"]
    assert await names(q="op a") == ["A"]


async def test_a_deletion_takes_the_keys_with_it(projects: Owner, tenant: str) -> None:
    path = await _made(projects, tenant)
    body = {"name": "Backend", "scopes": ["users:read"]}
    key = await projects.call(key_calls.CREATE_API_KEY, tenant, body, path=path)
    gone = await projects.call(key_calls.CREATE_API_KEY, tenant, body, path=path)
    await projects.call(key_calls.REVOKE_API_KEY, tenant, path={**path, "key_id": gone.body["id"]})
    preview = await projects.call(
        calls.DELETE_PROJECT, tenant, path=path, query={"dry_run": "true"}
    )
    assert preview.body == {"would_delete": {"api_keys": 1, "signing_keys": 2}}
    before = len(await projects.events(tenant))
    removed = await projects.call(calls.DELETE_PROJECT, tenant, path=path)
    assert (removed.status, removed.body) == (204, None)
    events = (await projects.events(tenant))[before:]
    assert [(each["type"], each["subject"]) for each in events] == [
        ("api_key.revoked", key.body["id"]),
        ("project.deleted", path["id"]),
    ]
    assert events[0]["data"]["api_key"]["status"] == "revoked"
    assert (await projects.call(signing_calls.GET_JWKS, None, path=path)).status == 404
    assert (await projects.call(calls.DELETE_PROJECT, tenant, path=path)).status == 404
    kept = await projects.pool.fetchval(
        "SELECT status FROM api_keys WHERE tenant_id = $1 AND id = $2", tenant, key.body["id"]
    )
    assert kept == "revoked"
