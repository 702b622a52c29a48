"""Totals of long lists are exact, though nobody counts the rows."""

import asyncio
import secrets

from contracts import members
from contracts import organizations as organization_calls
from contracts import users as calls
from contracts.calls import Call
from identity import tallies
from support.owner import Owner


async def _total(identity: Owner, tenant: str, call: Call, **query: str) -> int:
    """The total of a page that does not show all: it cannot be told from the rows."""
    found = await identity.call(call, tenant, query={"limit": "1", **query})
    assert found.status == 200, found.body
    assert found.body["pagination"]["total_exact"] is True
    return int(found.body["pagination"]["total"])


async def _users(identity: Owner, tenant: str, count: int) -> list[str]:
    made = [
        await identity.call(
            calls.CREATE_USER, tenant, {"email": f"{secrets.token_hex(6)}@example.com"}
        )
        for _ in range(count)
    ]
    return [each.body["id"] for each in made]


async def test_users_are_counted_as_they_come_change_and_go(identity: Owner, tenant: str) -> None:
    first, second, *_ = await _users(identity, tenant, 5)
    suspend = {"status": "suspended"}
    await identity.call(calls.UPDATE_USER, tenant, suspend, path={"id": first})
    await identity.call(calls.UPDATE_USER, tenant, suspend, path={"id": second})
    await identity.call(calls.DELETE_USER, tenant, path={"id": second})
    assert await _total(identity, tenant, calls.LIST_USERS) == 4
    assert await _total(identity, tenant, calls.LIST_USERS, status="active") == 3
    assert await _total(identity, tenant, calls.LIST_USERS, status="suspended") == 1


async def test_folding_changes_no_total_and_leaves_one_row(identity: Owner, tenant: str) -> None:
    await _users(identity, tenant, 4)
    making = _users(identity, tenant, 3)
    await asyncio.gather(making, tallies.fold(identity.pool), tallies.fold(identity.pool))
    assert await _total(identity, tenant, calls.LIST_USERS) == 7
    await tallies.fold(identity.pool)
    assert await _total(identity, tenant, calls.LIST_USERS) == 7
    kept = "SELECT count(*) FROM tallies WHERE tenant_id = $1"
    assert await identity.pool.fetchval(kept, tenant) == 1


async def test_a_refused_user_is_not_counted(identity: Owner, tenant: str) -> None:
    await identity.call(calls.CREATE_USER, tenant, {"email": "ada@example.com"})
    await identity.call(calls.CREATE_USER, tenant, {"email": "bea@example.com"})
    again = await identity.call(calls.CREATE_USER, tenant, {"email": "ada@example.com"})
    assert again.status == 409
    assert await _total(identity, tenant, calls.LIST_USERS) == 2


async def test_organizations_and_their_members_are_counted(identity: Owner, tenant: str) -> None:
    owner, *others = await _users(identity, tenant, 3)
    made = [
        await identity.call(
            organization_calls.CREATE_ORGANIZATION, tenant, {"name": name, "owner_id": owner}
        )
        for name in ("One", "Two", "Three")
    ]
    path = {"id": made[0].body["id"]}
    for user_id in others:
        body = {"user_id": user_id, "role": "member"}
        await identity.call(members.ADD_MEMBER, tenant, body, path=path)
    await identity.call(
        organization_calls.DELETE_ORGANIZATION, tenant, path={"id": made[2].body["id"]}
    )
    assert await _total(identity, tenant, organization_calls.LIST_ORGANIZATIONS) == 2
    listed = await identity.call(members.LIST_MEMBERS, tenant, path=path, query={"limit": "1"})
    assert listed.body["pagination"]["total"] == 3
    assert await _total(identity, tenant, calls.LIST_USERS, organization_id=path["id"]) == 3


async def test_a_page_far_behind_is_the_one_that_walking_comes_to(
    identity: Owner, tenant: str
) -> None:
    await identity.pool.execute(
        "INSERT INTO users (tenant_id, id, email, email_verified, status, metadata, version,"
        " created_at, updated_at) SELECT $1, 'usr_01jz' || lpad(to_hex(n), 6, '0') ||"
        " 'e008000000000000', 'u' || n || '@example.com', true, 'active', '{}', 1, now(), now()"
        " FROM generate_series(1, 2500) n",
        tenant,
    )
    for sort in ("-created_at", "email"):
        walked: list[str] = []
        query = {"limit": "200", "sort": sort}
        while True:
            found = await identity.call(calls.LIST_USERS, tenant, query=query)
            walked += [each["id"] for each in found.body["users"]]
            if found.body["pagination"]["next_cursor"] is None:
                break
            query["cursor"] = found.body["pagination"]["next_cursor"]
        far = await identity.call(
            calls.LIST_USERS, tenant, query={"limit": "200", "page": "12", "sort": sort}
        )
        assert [each["id"] for each in far.body["users"]] == walked[2200:2400]
        assert far.body["pagination"]["total"] == 2500
