"""Organizations, asked of identity alone."""

from contracts import organizations as calls
from contracts.ids import new_id
from support.owner import Owner


async def test_a_new_organization_is_found_again(identity: Owner, tenant: str) -> None:
    made = await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": " Acme Inc. "})
    assert (made.status, made.reply.created) == (201, made.body["id"])
    assert made.body["slug"] == "acme-inc"
    found = await identity.call(calls.GET_ORGANIZATION, tenant, path={"id": made.body["id"]})
    assert found.body == made.body
    assert [each["type"] for each in await identity.events(tenant)] == ["organization.created"]


async def test_another_tenants_organization_does_not_exist(identity: Owner, tenant: str) -> None:
    made = await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": "Acme"})
    for caller, wanted in ((new_id("ten"), made.body["id"]), (tenant, new_id("org"))):
        found = await identity.call(calls.GET_ORGANIZATION, caller, path={"id": wanted})
        assert (found.status, found.body["code"]) == (404, "not_found")


async def test_a_slug_is_unique_in_its_tenant(identity: Owner, tenant: str) -> None:
    await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": "Acme"})
    again = await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": "ACME"})
    assert (again.status, again.body["code"]) == (409, "slug_taken")
    elsewhere = await identity.call(calls.CREATE_ORGANIZATION, new_id("ten"), {"name": "Acme"})
    assert elsewhere.status == 201


async def test_a_repeated_key_gives_the_first_answer(identity: Owner, tenant: str) -> None:
    first = await identity.call(
        calls.CREATE_ORGANIZATION, tenant, {"name": "Acme"}, idempotency_key="once"
    )
    again = await identity.call(
        calls.CREATE_ORGANIZATION, tenant, {"name": "Acme"}, idempotency_key="once"
    )
    assert again.reply.body == first.reply.body
    assert again.reply.headers["Idempotent-Replayed"] == "true"
    other = await identity.call(
        calls.CREATE_ORGANIZATION, tenant, {"name": "Other"}, idempotency_key="once"
    )
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    assert len(await identity.events(tenant)) == 1


async def test_a_patch_merges_and_says_what_changed(identity: Owner, tenant: str) -> None:
    made = await identity.call(
        calls.CREATE_ORGANIZATION, tenant, {"name": "Acme", "metadata": {"a": 1, "b": {"c": 2}}}
    )
    path = {"id": made.body["id"]}
    patch = {"metadata": {"a": None, "b": {"d": 3}}, "name": "Acme"}
    patched = await identity.call(calls.UPDATE_ORGANIZATION, tenant, patch, path=path)
    assert patched.body["metadata"] == {"b": {"c": 2, "d": 3}}
    assert patched.body["version"] == 2
    assert (await identity.events(tenant))[-1]["data"]["changes"] == {
        "metadata": {"from": {"a": 1, "b": {"c": 2}}, "to": {"b": {"c": 2, "d": 3}}}
    }
    same = await identity.call(calls.UPDATE_ORGANIZATION, tenant, {}, path=path)
    assert same.body == patched.body
    stale = await identity.call(
        calls.UPDATE_ORGANIZATION, tenant, {"name": "New"}, path=path, if_match='"1"'
    )
    assert (stale.status, stale.body["code"]) == (412, "version_mismatch")


async def test_pages_and_cursors_walk_the_whole_list(identity: Owner, tenant: str) -> None:
    for number in range(5):
        await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": f"Org {number}"})
    first = await identity.call(calls.LIST_ORGANIZATIONS, tenant, query={"limit": 2})
    assert [each["name"] for each in first.body["organizations"]] == ["Org 4", "Org 3"]
    assert first.body["pagination"]["total"] == 5
    cursor = first.body["pagination"]["next_cursor"]
    second = await identity.call(
        calls.LIST_ORGANIZATIONS, tenant, query={"limit": 2, "cursor": cursor}
    )
    assert [each["name"] for each in second.body["organizations"]] == ["Org 2", "Org 1"]
    foreign = await identity.call(
        calls.LIST_ORGANIZATIONS, new_id("ten"), query={"limit": 2, "cursor": cursor}
    )
    assert (foreign.status, foreign.body["errors"][0]["code"]) == (422, "invalid_cursor")
    named = await identity.call(
        calls.LIST_ORGANIZATIONS, tenant, query={"sort": "name", "q": "org", "page": 3, "limit": 2}
    )
    assert [each["name"] for each in named.body["organizations"]] == ["Org 4"]
