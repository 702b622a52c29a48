"""Members of organizations: added, listed, updated, removed; the count, the limit, the owners."""

import asyncio
from typing import Any

import pytest
from contracts import members as calls
from contracts import organizations as organization_calls
from contracts.ids import new_id
from service.identity.client import IdentityClient
from support.case_variants import HOSTILE_NAMES, variants


async def test_the_owner_comes_with_the_organization_or_not_at_all(
    client: IdentityClient,
) -> None:
    owner = await client.create_user()
    organization = await client.create_organization(owner_id=owner)
    (member,) = (await client.list_members(organization))["members"]
    assert (member["user_id"], member["role"]) == (owner, "owner")
    assert (await client.get_organization(organization))["member_count"] == 1
    before = await client.event_types()
    assert before == ["user.created", "organization.created", "member.added"]
    body = {"name": "Other", "owner_id": new_id("usr")}
    refused = await client.call(organization_calls.CREATE_ORGANIZATION, body)
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "owner_id")
    assert await client.event_types() == before
    listed = await client.call(organization_calls.LIST_ORGANIZATIONS)
    assert listed.body["pagination"]["total"] == 1


async def test_an_added_member_is_shown_with_the_user(client: IdentityClient) -> None:
    user = await client.create_user(name="Ada")
    organization = await client.create_organization()
    fields = {"role": "admin", "permissions": ["billing:read"]}
    added = await client.add_member(organization, user, **fields)
    assert added.status == 201
    assert added.body["user"] == {"id": user, "email": "ada@example.com", "name": "Ada"}
    last = (await client.events())[-1]
    assert (last["type"], last["data"]) == (
        "member.added",
        {"organization_id": organization, "member": added.body},
    )
    again = await client.add_member(organization, user, **fields)
    assert (again.status, again.body["code"]) == (409, "already_member")
    assert (await client.get_organization(organization))["member_count"] == 1


async def test_an_unknown_user_is_an_error_of_the_field(client: IdentityClient) -> None:
    organization = await client.create_organization()
    for unknown in (new_id("usr"), "nobody"):
        refused = await client.add_member(organization, unknown)
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, "user_id")


async def test_another_tenants_user_is_unknown(
    client: IdentityClient, other_client: IdentityClient
) -> None:
    user = await other_client.create_user()
    refused = await client.add_member(await client.create_organization(), user)
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "user_id")


async def test_members_of_an_absent_organization_do_not_exist(client: IdentityClient) -> None:
    user, absent = await client.create_user(), new_id("org")
    added = await client.add_member(absent, user)
    listed = await client.call(calls.LIST_MEMBERS, None, absent)
    removed = await client.remove_member(absent, user)
    assert [added.status, listed.status, removed.status] == [404, 404, 404]


async def test_the_list_is_newest_first_and_filtered(client: IdentityClient) -> None:
    organization = await client.create_organization()
    users = [
        await client.create_user(f"u{number}@example.com", name=f"Name {number}")
        for number in range(5)
    ]
    for number in (3, 0, 4, 1, 2):
        role = "admin" if number < 2 else "member"
        await client.add_member(organization, users[number], role=role)

    async def listed(**query: Any) -> list[str]:
        page = await client.list_members(organization, **query)
        return [each["user_id"] for each in page["members"]]

    newest_first = [users[number] for number in (2, 1, 4, 0, 3)]
    assert await listed() == newest_first
    assert await listed(role="admin") == [users[1], users[0]]
    assert await listed(q="name 4") == [users[4]]
    assert await listed(q="U3@EXAMPLE") == [users[3]]
    assert await listed(q="name_4") == []
    walked: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while query.get("cursor", "") is not None:
        page = await client.list_members(organization, **query)
        walked += [each["user_id"] for each in page["members"]]
        query["cursor"] = page["pagination"]["next_cursor"]
    assert walked == newest_first


@pytest.mark.parametrize(
    ("q", "count"), [("ADA@", 1), ("da ł", 1), ("a", 1), ("countess", 0), ("1815", 0)]
)
async def test_members_are_found_by_email_and_name_only(
    client: IdentityClient, q: str, count: int
) -> None:
    user = await client.create_user(name="Ada Ł", username="countess", external_id="x-1815")
    organization = await client.create_organization(owner_id=user)
    assert len((await client.list_members(organization, q=q))["members"]) == count


async def test_an_update_has_one_event_and_no_change_has_none(client: IdentityClient) -> None:
    user, organization = await client.create_user(), await client.create_organization()
    await client.add_member(organization, user)
    updated = await client.update_member(organization, user, role="admin")
    assert (updated.status, updated.body["role"]) == (200, "admin")
    last = (await client.events())[-1]
    assert (last["type"], last["data"]["changes"]) == (
        "member.updated",
        {"role": {"from": "member", "to": "admin"}},
    )
    before = await client.event_types()
    for patch in ({}, {"role": "admin"}):
        assert (await client.update_member(organization, user, **patch)).body == updated.body
    assert await client.event_types() == before


async def test_the_last_owner_stays(client: IdentityClient) -> None:
    owner = await client.create_user()
    organization = await client.create_organization(owner_id=owner)
    demoted = await client.update_member(organization, owner, role="member")
    removed = await client.remove_member(organization, owner)
    assert [demoted.body["code"], removed.body["code"]] == ["last_owner", "last_owner"]
    assert [demoted.status, removed.status] == [409, 409]
    fields = {"role": "owner", "permissions": ["billing:read"]}
    assert (await client.update_member(organization, owner, **fields)).status == 200


async def test_two_owners_who_remove_each_other_leave_one(client: IdentityClient) -> None:
    for number in range(5):
        owners = [await client.create_user(f"{each}{number}@example.com") for each in "ab"]
        organization = await client.create_organization(owner_id=owners[0])
        await client.add_member(organization, owners[1], role="owner")
        replies = await asyncio.gather(
            *(client.remove_member(organization, owner) for owner in owners)
        )
        assert sorted(each.status for each in replies) == [204, 409]
        assert (await client.get_organization(organization))["member_count"] == 1


async def test_the_member_limit_holds_under_parallel_adds(client: IdentityClient) -> None:
    users = [await client.create_user(f"u{number}@example.com") for number in range(10)]
    organization = await client.create_organization(max_members=3)
    replies = await asyncio.gather(*(client.add_member(organization, user) for user in users))
    assert sorted(each.status for each in replies) == [201] * 3 + [409] * 7
    codes = {each.body["code"] for each in replies if each.status == 409}
    assert codes == {"member_limit_reached"}
    total = (await client.list_members(organization))["pagination"]["total"]
    assert total == (await client.get_organization(organization))["member_count"] == 3
    assert (await client.event_types()).count("member.added") == 3


async def test_one_user_added_ten_times_at_once_is_one_member(client: IdentityClient) -> None:
    user, organization = await client.create_user(), await client.create_organization()
    replies = await asyncio.gather(*(client.add_member(organization, user) for _ in range(10)))
    assert sorted(each.status for each in replies) == [201] + [409] * 9
    assert (await client.get_organization(organization))["member_count"] == 1


async def test_a_member_is_found_by_each_form_of_the_name(client: IdentityClient) -> None:
    organization = await client.create_organization()
    for place, name in enumerate(HOSTILE_NAMES):
        user = await client.create_user(f"u{place}@example.com", name=name)
        await client.add_member(organization, user)
        for text in variants(name):
            found = await client.list_members(organization, q=text)
            assert user in [each["user_id"] for each in found["members"]], ascii(text)
