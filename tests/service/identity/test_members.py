"""Members of organizations, asked of identity alone."""

import asyncio
from typing import Any

from contracts import members
from contracts import organizations as calls
from contracts import users as user_calls
from contracts.ids import new_id
from support.owner import Owner


async def _user(identity: Owner, tenant: str, email: str, name: str | None = None) -> str:
    made = await identity.call(user_calls.CREATE_USER, tenant, {"email": email, "name": name})
    assert made.status == 201, made.body
    return made.body["id"]


async def _organization(identity: Owner, tenant: str, **fields: Any) -> str:
    made = await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": "Acme", **fields})
    assert made.status == 201, made.body
    return made.body["id"]


async def _count(identity: Owner, tenant: str, organization: str) -> int:
    path = {"id": organization}
    return (await identity.call(calls.GET_ORGANIZATION, tenant, path=path)).body["member_count"]


async def _types(identity: Owner, tenant: str) -> list[str]:
    return [each["type"] for each in await identity.events(tenant)]


async def test_the_owner_comes_with_the_organization_or_not_at_all(
    identity: Owner, tenant: str
) -> None:
    owner = await _user(identity, tenant, "ada@example.com")
    organization = await _organization(identity, tenant, owner_id=owner)
    listed = await identity.call(members.LIST_MEMBERS, tenant, path={"id": organization})
    assert [(each["user_id"], each["role"]) for each in listed.body["members"]] == [
        (owner, "owner")
    ]
    assert await _count(identity, tenant, organization) == 1
    before = await _types(identity, tenant)
    assert before == ["user.created", "organization.created", "member.added"]
    body = {"name": "Other", "owner_id": new_id("usr")}
    refused = await identity.call(calls.CREATE_ORGANIZATION, tenant, body)
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "owner_id")
    assert await _types(identity, tenant) == before
    listed = await identity.call(calls.LIST_ORGANIZATIONS, tenant)
    assert listed.body["pagination"]["total"] == 1


async def test_an_added_member_is_shown_with_the_user(identity: Owner, tenant: str) -> None:
    user = await _user(identity, tenant, "ada@example.com", "Ada")
    path = {"id": await _organization(identity, tenant)}
    body = {"user_id": user, "role": "admin", "permissions": ["billing:read"]}
    added = await identity.call(members.ADD_MEMBER, tenant, body, path=path)
    assert added.status == 201
    assert added.body["user"] == {"id": user, "email": "ada@example.com", "name": "Ada"}
    last = (await identity.events(tenant))[-1]
    assert (last["type"], last["data"]) == (
        "member.added",
        {"organization_id": path["id"], "member": added.body},
    )
    again = await identity.call(members.ADD_MEMBER, tenant, body, path=path)
    assert (again.status, again.body["code"]) == (409, "already_member")
    assert await _count(identity, tenant, path["id"]) == 1


async def test_an_unknown_user_is_a_fault_of_the_field(identity: Owner, tenant: str) -> None:
    path = {"id": await _organization(identity, tenant)}
    foreign = await _user(identity, new_id("ten"), "eve@example.com")
    for unknown in (new_id("usr"), foreign, "nobody"):
        refused = await identity.call(members.ADD_MEMBER, tenant, {"user_id": unknown}, path=path)
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, "user_id")


async def test_members_of_an_absent_organization_do_not_exist(identity: Owner, tenant: str) -> None:
    user = await _user(identity, tenant, "ada@example.com")
    path = {"id": new_id("org")}
    added = await identity.call(members.ADD_MEMBER, tenant, {"user_id": user}, path=path)
    listed = await identity.call(members.LIST_MEMBERS, tenant, path=path)
    gone = await identity.call(members.REMOVE_MEMBER, tenant, path={**path, "user_id": user})
    assert [added.status, listed.status, gone.status] == [404, 404, 404]


async def test_the_list_is_newest_first_and_filtered(identity: Owner, tenant: str) -> None:
    path = {"id": await _organization(identity, tenant)}
    users = []
    for number in range(5):
        users.append(await _user(identity, tenant, f"u{number}@example.com", f"Name {number}"))
    for number in (3, 0, 4, 1, 2):
        role = "admin" if number < 2 else "member"
        body = {"user_id": users[number], "role": role}
        await identity.call(members.ADD_MEMBER, tenant, body, path=path)

    async def listed(**query: Any) -> list[str]:
        found = await identity.call(members.LIST_MEMBERS, tenant, path=path, query=query)
        assert found.status == 200, found.body
        return [each["user_id"] for each in found.body["members"]]

    wanted = [users[number] for number in (2, 1, 4, 0, 3)]
    assert await listed() == wanted
    assert await listed(role="admin") == [users[1], users[0]]
    assert await listed(q="name 4") == [users[4]]
    assert await listed(q="U3@EXAMPLE") == [users[3]]
    assert await listed(q="name_4") == []
    walked: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while query.get("cursor", "") is not None:
        page = await identity.call(members.LIST_MEMBERS, tenant, path=path, query=query)
        walked += [each["user_id"] for each in page.body["members"]]
        query["cursor"] = page.body["pagination"]["next_cursor"]
    assert walked == wanted


async def test_a_change_has_one_event_and_no_change_has_none(identity: Owner, tenant: str) -> None:
    user = await _user(identity, tenant, "ada@example.com")
    path = {"id": await _organization(identity, tenant)}
    await identity.call(members.ADD_MEMBER, tenant, {"user_id": user}, path=path)
    path["user_id"] = user
    changed = await identity.call(members.UPDATE_MEMBER, tenant, {"role": "admin"}, path=path)
    assert (changed.status, changed.body["role"]) == (200, "admin")
    last = (await identity.events(tenant))[-1]
    assert (last["type"], last["data"]["changes"]) == (
        "member.updated",
        {"role": {"from": "member", "to": "admin"}},
    )
    before = await _types(identity, tenant)
    for patch in ({}, {"role": "admin"}):
        same = await identity.call(members.UPDATE_MEMBER, tenant, patch, path=path)
        assert same.body == changed.body
    assert await _types(identity, tenant) == before


async def test_the_last_owner_stays(identity: Owner, tenant: str) -> None:
    owner = await _user(identity, tenant, "ada@example.com")
    path = {"id": await _organization(identity, tenant, owner_id=owner), "user_id": owner}
    demoted = await identity.call(members.UPDATE_MEMBER, tenant, {"role": "member"}, path=path)
    left = await identity.call(members.REMOVE_MEMBER, tenant, path=path)
    assert [demoted.body["code"], left.body["code"]] == ["last_owner", "last_owner"]
    assert [demoted.status, left.status] == [409, 409]
    kept = {"role": "owner", "permissions": ["billing:read"]}
    assert (await identity.call(members.UPDATE_MEMBER, tenant, kept, path=path)).status == 200


async def test_two_owners_who_remove_each_other_leave_one(identity: Owner, tenant: str) -> None:
    for number in range(5):
        one = await _user(identity, tenant, f"one{number}@example.com")
        two = await _user(identity, tenant, f"two{number}@example.com")
        organization = await _organization(identity, tenant, slug=f"org-{number}", owner_id=one)
        path = {"id": organization}
        body = {"user_id": two, "role": "owner"}
        await identity.call(members.ADD_MEMBER, tenant, body, path=path)
        answers = await asyncio.gather(
            *(
                identity.call(members.REMOVE_MEMBER, tenant, path={**path, "user_id": user})
                for user in (one, two)
            )
        )
        assert sorted(each.status for each in answers) == [204, 409]
        assert await _count(identity, tenant, organization) == 1


async def test_the_member_limit_holds_under_parallel_adds(identity: Owner, tenant: str) -> None:
    users = [await _user(identity, tenant, f"u{number}@example.com") for number in range(10)]
    path = {"id": await _organization(identity, tenant, max_members=3)}
    answers = await asyncio.gather(
        *(identity.call(members.ADD_MEMBER, tenant, {"user_id": user}, path=path) for user in users)
    )
    assert sorted(each.status for each in answers) == [201] * 3 + [409] * 7
    codes = {each.body["code"] for each in answers if each.status == 409}
    assert codes == {"member_limit_reached"}
    listed = await identity.call(members.LIST_MEMBERS, tenant, path=path)
    assert listed.body["pagination"]["total"] == await _count(identity, tenant, path["id"]) == 3
    assert (await _types(identity, tenant)).count("member.added") == 3


async def test_one_user_added_ten_times_at_once_is_one_member(identity: Owner, tenant: str) -> None:
    user = await _user(identity, tenant, "ada@example.com")
    path = {"id": await _organization(identity, tenant)}
    answers = await asyncio.gather(
        *(
            identity.call(members.ADD_MEMBER, tenant, {"user_id": user}, path=path)
            for _ in range(10)
        )
    )
    assert sorted(each.status for each in answers) == [201] + [409] * 9
    assert await _count(identity, tenant, path["id"]) == 1


async def test_a_deleted_organization_removes_each_member_with_an_event(
    identity: Owner, tenant: str
) -> None:
    owner = await _user(identity, tenant, "ada@example.com")
    other = await _user(identity, tenant, "bob@example.com")
    path = {"id": await _organization(identity, tenant, owner_id=owner)}
    await identity.call(members.ADD_MEMBER, tenant, {"user_id": other}, path=path)
    gone = await identity.call(calls.DELETE_ORGANIZATION, tenant, path=path)
    assert gone.status == 204
    events = (await identity.events(tenant))[-3:]
    assert [each["type"] for each in events] == ["member.removed"] * 2 + ["organization.deleted"]
    assert {each["subject"] for each in events[:2]} == {owner, other}
