"""Organizations: created, shown, listed, updated; their slugs, versions and replays."""

from typing import Any

from contracts import organizations as calls
from contracts.ids import new_id
from service.identity.client import IdentityClient
from support.case_variants import HOSTILE_NAMES, variants


async def _list(client: IdentityClient, **query: Any) -> tuple[list[str], dict[str, Any]]:
    """The names, and the pagination."""
    listed = await client.call(calls.LIST_ORGANIZATIONS, query=query)
    assert listed.status == 200, listed.body
    return [each["name"] for each in listed.body["organizations"]], listed.body["pagination"]


async def test_a_new_organization_is_found_again(client: IdentityClient) -> None:
    created = await client.call(calls.CREATE_ORGANIZATION, {"name": " Acme Inc. "})
    assert (created.status, created.reply.created) == (201, created.body["id"])
    assert created.body["slug"] == "acme-inc"
    assert await client.get_organization(created.body["id"]) == created.body
    assert await client.event_types() == ["organization.created"]


async def test_another_tenants_organization_does_not_exist(client: IdentityClient) -> None:
    organization = await client.create_organization()
    for tenant, wanted in ((new_id("ten"), organization), (client.tenant, new_id("org"))):
        found = await client.call(calls.GET_ORGANIZATION, None, wanted, tenant=tenant)
        assert (found.status, found.body["code"]) == (404, "not_found")


async def test_a_slug_is_unique_in_its_tenant(client: IdentityClient) -> None:
    await client.call(calls.CREATE_ORGANIZATION, {"name": "Acme"})
    again = await client.call(calls.CREATE_ORGANIZATION, {"name": "ACME"})
    assert (again.status, again.body["code"]) == (409, "slug_taken")
    other = await client.create_organization()
    updated = await client.call(calls.UPDATE_ORGANIZATION, {"slug": "acme"}, other)
    assert (updated.status, updated.body["code"]) == (409, "slug_taken")
    tenant = new_id("ten")
    elsewhere = await client.call(calls.CREATE_ORGANIZATION, {"name": "Acme"}, tenant=tenant)
    assert elsewhere.status == 201


async def test_a_repeated_key_gives_the_first_reply(client: IdentityClient) -> None:
    first, again = [
        await client.call(calls.CREATE_ORGANIZATION, {"name": "Acme"}, idempotency_key="once")
        for _ in range(2)
    ]
    assert again.reply.body == first.reply.body
    assert again.reply.headers["Idempotent-Replayed"] == "true"
    other = await client.call(calls.CREATE_ORGANIZATION, {"name": "Other"}, idempotency_key="once")
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    assert len(await client.events()) == 1


async def test_a_patch_merges_and_its_event_names_the_changes(client: IdentityClient) -> None:
    metadata = {"a": 1, "b": {"c": 2}}
    organization = await client.create_organization(metadata=metadata)
    patch = {"metadata": {"a": None, "b": {"d": 3}}, "name": "Acme"}
    updated = await client.call(calls.UPDATE_ORGANIZATION, patch, organization)
    assert updated.body["metadata"] == {"b": {"c": 2, "d": 3}}
    assert updated.body["version"] == 2
    assert (await client.events())[-1]["data"]["changes"] == {
        "metadata": {"from": metadata, "to": {"b": {"c": 2, "d": 3}}}
    }
    same = await client.call(calls.UPDATE_ORGANIZATION, {}, organization)
    assert same.body == updated.body
    old = await client.call(
        calls.UPDATE_ORGANIZATION, {"name": "New"}, organization, if_match='"1"'
    )
    assert (old.status, old.body["code"]) == (412, "version_mismatch")


async def test_pages_and_cursors_walk_the_whole_list(client: IdentityClient) -> None:
    for number in range(5):
        await client.create_organization(name=f"Org {number}")
    names, pagination = await _list(client, limit=2)
    assert names == ["Org 4", "Org 3"]
    assert pagination["total"] == 5
    query = {"limit": 2, "cursor": pagination["next_cursor"]}
    names, _ = await _list(client, **query)
    assert names == ["Org 2", "Org 1"]
    elsewhere = await client.call(calls.LIST_ORGANIZATIONS, query=query, tenant=new_id("ten"))
    assert (elsewhere.status, elsewhere.body["errors"][0]["code"]) == (422, "invalid_cursor")
    names, _ = await _list(client, sort="name", q="org", page=3, limit=2)
    assert names == ["Org 4"]


async def test_a_name_is_found_in_any_case(client: IdentityClient) -> None:
    await client.create_organization(name="Ärzte Übersee")
    for q in ("ärzte", "ÜBERSEE"):
        names, _ = await _list(client, q=q)
        assert names == ["Ärzte Übersee"], q


async def test_members_who_come_and_go_change_the_etag(client: IdentityClient) -> None:
    organization = await client.create_organization()
    before = await client.call(calls.GET_ORGANIZATION, None, organization)
    invitation = await client.create_invitation(organization)
    assert (await client.accept_invitation(invitation["token"])).status == 200
    after = await client.call(calls.GET_ORGANIZATION, None, organization)
    assert before.body["version"] == after.body["version"]
    assert before.reply.version != after.reply.version
    etag = f'"{before.reply.version}"'
    updated = await client.call(
        calls.UPDATE_ORGANIZATION, {"name": "New"}, organization, if_match=etag
    )
    assert updated.status == 200


async def test_an_expired_invitation_is_deleted_silently_with_its_organization(
    client: IdentityClient,
) -> None:
    organization = await client.create_organization()
    await client.expire_invitation((await client.create_invitation(organization))["id"])
    query = {"dry_run": "true"}
    preview = await client.call(calls.DELETE_ORGANIZATION, None, organization, query=query)
    assert preview.body["would_delete"] == {"memberships": 0, "invitations": 0}
    await client.call(calls.DELETE_ORGANIZATION, None, organization)
    assert (await client.event_types())[-1] == "organization.deleted"
    assert "invitation.revoked" not in await client.event_types()


async def test_a_deleted_organization_removes_each_member_with_an_event(
    client: IdentityClient,
) -> None:
    owner, other = await client.create_user(), await client.create_user("bob@example.com")
    organization = await client.create_organization(owner_id=owner)
    await client.add_member(organization, other)
    deleted = await client.call(calls.DELETE_ORGANIZATION, None, organization)
    assert deleted.status == 204
    events = (await client.events())[-3:]
    assert [each["type"] for each in events] == ["member.removed"] * 2 + ["organization.deleted"]
    assert {each["subject"] for each in events[:2]} == {owner, other}


async def test_a_deleted_organization_revokes_its_pending_invitations(
    client: IdentityClient,
) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(organization)
    await client.call(calls.DELETE_ORGANIZATION, None, organization)
    events = (await client.events())[-2:]
    assert [each["type"] for each in events] == ["invitation.revoked", "organization.deleted"]
    assert events[0]["data"]["invitation"]["status"] == "revoked"
    assert (await client.accept_invitation(invitation["token"])).status == 410


async def test_an_organization_is_found_by_each_form_of_its_name(client: IdentityClient) -> None:
    for name in HOSTILE_NAMES:
        organization = await client.create_organization(name=name)
        for text in variants(name):
            found = await client.call(calls.LIST_ORGANIZATIONS, query={"q": text})
            assert organization in [each["id"] for each in found.body["organizations"]], ascii(text)
