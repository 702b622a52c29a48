"""Tenants: created and suspended by the operator; what a tenant may change itself."""

from typing import Any

from contracts import tenants as calls
from contracts.ids import new_id
from contracts.signing_keys import SIGN_TOKEN
from service.projects.client import ProjectsClient
from support.case_variants import HOSTILE_NAMES, variants


async def test_a_new_tenant_comes_with_a_key_for_everything(client: ProjectsClient) -> None:
    created = await client.create_tenant(name=" Acme Inc. ", settings={"region": "eu"})
    tenant, key = created["tenant"], created["api_key"]
    assert (tenant["name"], tenant["status"], tenant["version"]) == ("Acme Inc.", "active", 1)
    assert (key["project_id"], key["scopes"]) == (None, ["*"])
    found = await client.find_credential(key["secret"])
    assert (found.body["key_id"], found.body["tenant_id"]) == (key["id"], tenant["id"])
    assert await client.event_subjects(tenant["id"]) == [
        ("tenant.created", tenant["id"]),
        ("api_key.created", key["id"]),
    ]


async def test_a_repeated_creation_shows_the_first_secret_again(client: ProjectsClient) -> None:
    body, once = {"name": "Acme", "slug": new_id("ten").replace("_", "-")}, new_id("req")
    first = await client.call_as_operator(calls.CREATE_TENANT, body, idempotency_key=once)
    repeated = await client.call_as_operator(calls.CREATE_TENANT, body, idempotency_key=once)
    assert repeated.reply.body == first.reply.body
    assert repeated.body["api_key"]["secret"]
    assert len(await client.event_types(first.body["tenant"]["id"])) == 2


async def test_a_slug_is_derived_and_unique_among_all_tenants(client: ProjectsClient) -> None:
    name = new_id("ten")
    created = await client.call_as_operator(calls.CREATE_TENANT, {"name": name})
    assert created.body["tenant"]["slug"] == name.replace("_", "-")
    repeated = await client.call_as_operator(calls.CREATE_TENANT, {"name": name})
    assert (repeated.status, repeated.body["code"]) == (409, "slug_taken")


async def test_who_am_i_tells_tenant_credential_and_root_keys(client: ProjectsClient) -> None:
    created = await client.create_tenant()
    key = created["api_key"]
    await client.create_api_key(
        created["tenant"]["id"], await client.create_project(created["tenant"]["id"])
    )
    reply = await client.call(
        calls.WHO_AM_I,
        created["tenant"]["id"],
        credential="access_token",
        credential_expires_at="2026-01-15T10:00:00Z",
        actor_id=key["id"],
        scopes=("users:read",),
    )
    assert reply.body["tenant"] == created["tenant"]
    assert reply.body["credential"] == {
        "id": key["id"],
        "type": "access_token",
        "scopes": ["users:read"],
        "expires_at": "2026-01-15T10:00:00Z",
    }
    assert reply.body["root_keys"] == [
        {name: value for name, value in key.items() if name != "secret"}
    ]


async def test_who_am_i_shows_the_newest_root_keys_that_work(client: ProjectsClient) -> None:
    created = await client.create_tenant(quotas={"root_keys": 200})
    tenant, first = created["tenant"]["id"], created["api_key"]["id"]
    made = [
        (await client.call_as_operator(calls.CREATE_ROOT_KEY, {}, tenant)).body["id"]
        for _ in range(101)
    ]
    await client.call_as_operator(calls.REVOKE_ROOT_KEY, None, tenant, made[-1])
    path = (calls.WHO_AM_I, tenant)
    shown = (await client.call(*path, credential="api_key")).body["root_keys"]
    assert [each["id"] for each in shown] == made[:-1]
    await client.call_as_operator(calls.REVOKE_ROOT_KEY, None, tenant, made[0])
    shown = (await client.call(*path, credential="api_key")).body["root_keys"]
    assert [each["id"] for each in shown] == [first, *made[1:-1]]


async def test_a_tenant_changes_its_name_and_settings_only(
    client: ProjectsClient, tenant: str
) -> None:
    patch: dict[str, Any] = {"name": "New", "settings": {"theme": {"dark": True}}}
    changed = await client.call(calls.UPDATE_TENANT, tenant, patch, tenant)
    assert (changed.body["name"], changed.body["version"]) == ("New", 2)
    assert changed.body["settings"] == {"theme": {"dark": True}}
    weak = await client.call(
        calls.UPDATE_TENANT, tenant, {"name": "X"}, tenant, scopes=("projects:write",)
    )
    assert (weak.status, weak.body["code"]) == (403, "insufficient_scope")
    for beyond in ({"slug": "other"}, {"status": "suspended"}, {"name": "X", "status": "active"}):
        refused = await client.call(calls.UPDATE_TENANT, tenant, beyond, tenant)
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
        assert "operator" in refused.body["detail"]
    assert await client.event_types(tenant) == ["tenant.updated"]


async def test_to_a_tenant_there_is_no_other(client: ProjectsClient, tenant: str) -> None:
    other = (await client.create_tenant())["tenant"]["id"]
    for wanted in (other, new_id("ten"), "ten_x"):
        found = await client.call(calls.GET_TENANT, tenant, None, wanted)
        changed = await client.call(calls.UPDATE_TENANT, tenant, {"status": "active"}, wanted)
        assert (found.status, changed.status) == (404, 404)
    assert (await client.call(calls.GET_TENANT, tenant, None, tenant)).status == 200


async def test_suspending_and_resuming_are_recorded_once_each(client: ProjectsClient) -> None:
    created = await client.create_tenant()
    tenant, secret = created["tenant"]["id"], created["api_key"]["secret"]
    for status in ("suspended", "suspended", "active", "active"):
        changed = await client.call_as_operator(calls.UPDATE_TENANT, {"status": status}, tenant)
        assert changed.body["status"] == status
        assert (await client.find_credential(secret)).body["tenant_status"] == status
    assert await client.event_types(tenant) == [
        "tenant.created",
        "api_key.created",
        "tenant.suspended",
        "tenant.resumed",
    ]


async def test_a_suspended_tenant_signs_no_session_on(client: ProjectsClient, tenant: str) -> None:
    wanted = {"project_id": await client.create_project(tenant), "claims": {"sub": new_id("usr")}}
    for status, answered in (("suspended", 403), ("active", 200)):
        await client.call_as_operator(calls.UPDATE_TENANT, {"status": status}, tenant)
        assert (await client.call(SIGN_TOKEN, tenant, wanted)).status == answered
    await client.call_as_operator(calls.DELETE_TENANT, None, tenant)
    assert (await client.call(SIGN_TOKEN, tenant, wanted)).status == 404


async def test_a_stale_version_changes_nothing(client: ProjectsClient, tenant: str) -> None:
    await client.call_as_operator(calls.UPDATE_TENANT, {"name": "Second"}, tenant)
    stale = await client.call_as_operator(
        calls.UPDATE_TENANT, {"name": "Third"}, tenant, if_match='"1"'
    )
    assert (stale.status, stale.body["code"]) == (412, "version_mismatch")
    refused = await client.call_as_operator(calls.DELETE_TENANT, None, tenant, if_match='"1"')
    assert refused.status == 412


async def test_the_operator_searches_all_tenants(client: ProjectsClient) -> None:
    word = new_id("ten")[-12:]
    tenants = [(await client.create_tenant(name=f"{word} {n}"))["tenant"] for n in range(3)]
    await client.call_as_operator(calls.UPDATE_TENANT, {"status": "suspended"}, tenants[1]["id"])
    found = await client.call_as_operator(
        calls.LIST_TENANTS, query={"q": word.upper(), "sort": "-name"}
    )
    assert [each["id"] for each in found.body["tenants"]] == [each["id"] for each in tenants[::-1]]
    found = await client.call_as_operator(
        calls.LIST_TENANTS, query={"q": word, "status": "suspended"}
    )
    assert [each["id"] for each in found.body["tenants"]] == [tenants[1]["id"]]
    everyone = await client.call_as_operator(calls.LIST_TENANTS, query={"limit": 2})
    assert everyone.body["pagination"]["total"] >= 3
    cursor = everyone.body["pagination"]["next_cursor"]
    following = await client.call_as_operator(
        calls.LIST_TENANTS, query={"limit": 1, "cursor": cursor}
    )
    assert following.body["tenants"][0]["id"] < everyone.body["tenants"][-1]["id"]


async def test_a_tenant_is_found_by_each_form_of_its_name(client: ProjectsClient) -> None:
    for name in HOSTILE_NAMES:
        tenant = (await client.create_tenant(name=name))["tenant"]["id"]
        for text in variants(name):
            found = await client.call_as_operator(calls.LIST_TENANTS, query={"q": text})
            assert tenant in [each["id"] for each in found.body["tenants"]], ascii(text)
