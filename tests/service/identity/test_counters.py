"""Totals of long lists are exact, though nobody counts the rows."""

import asyncio
import secrets

import pytest
from contracts import invitations as invitation_calls
from contracts import organizations as organization_calls
from contracts import users as calls
from contracts.calls import Call
from identity import counters
from service.identity.client import IdentityClient

pytestmark = pytest.mark.usefixtures("folded")


async def _total(client: IdentityClient, call: Call, *path: str, **query: str) -> int:
    """The total of a page that does not show all: it cannot be told from the rows."""
    found = await client.call(call, None, *path, query={"limit": "1", **query})
    assert found.status == 200, found.body
    assert found.body["pagination"]["total_exact"] is True
    return int(found.body["pagination"]["total"])


async def _create_users(client: IdentityClient, count: int) -> list[str]:
    emails = [f"{secrets.token_hex(6)}@example.com" for _ in range(count)]
    return [await client.create_user(email) for email in emails]


async def test_users_are_counted_as_they_come_change_and_go(client: IdentityClient) -> None:
    first, second, *_ = await _create_users(client, 5)
    await client.update_user(first, status="suspended")
    await client.update_user(second, status="suspended")
    await client.delete_user(second)
    assert await _total(client, calls.LIST_USERS) == 4
    assert await _total(client, calls.LIST_USERS, status="active") == 3
    assert await _total(client, calls.LIST_USERS, status="suspended") == 1


async def test_folding_changes_no_total_and_leaves_one_row_of_each_counter(
    client: IdentityClient,
) -> None:
    await _create_users(client, 4)
    fold = counters.fold
    await asyncio.gather(_create_users(client, 3), fold(client.pool), fold(client.pool))
    assert await _total(client, calls.LIST_USERS) == 7
    await fold(client.pool)
    assert await _total(client, calls.LIST_USERS) == 7
    rows = "SELECT what, count FROM tallies WHERE tenant_id = $1 ORDER BY what"
    found = [tuple(row) for row in await client.pool.fetch(rows, client.tenant)]
    assert found == [("user:active", 7), ("users", 7)]


async def test_folding_costs_what_is_new_however_many_tenants_there_are(
    client: IdentityClient,
) -> None:
    """A statement that takes longer than ten seconds fails."""
    others = "other-%"
    await client.pool.execute(
        "INSERT INTO tallies (tenant_id, what, count)"
        " SELECT 'other-' || n, 'organization', 1 FROM generate_series(1, 40000) AS n"
    )
    left = "SELECT count(*) FROM tallies WHERE tenant_id LIKE $1 AND NOT folded"
    while before := await client.pool.fetchval(left, others):
        await counters.fold(client.pool)
        assert await client.pool.fetchval(left, others) < before
    await client.pool.execute("DELETE FROM tallies WHERE tenant_id LIKE $1", others)


async def test_a_refused_user_is_not_counted(client: IdentityClient) -> None:
    await client.create_user("ada@example.com")
    await client.create_user("bea@example.com")
    again = await client.call(calls.CREATE_USER, {"email": "ada@example.com"})
    assert again.status == 409
    assert await _total(client, calls.LIST_USERS) == 2


async def test_organizations_and_their_members_are_counted(client: IdentityClient) -> None:
    owner, *others = await _create_users(client, 3)
    first, _, third = [await client.create_organization(owner_id=owner) for _ in range(3)]
    for user in others:
        await client.add_member(first, user)
    await client.call(organization_calls.DELETE_ORGANIZATION, None, third)
    assert await _total(client, organization_calls.LIST_ORGANIZATIONS) == 2
    members = await client.list_members(first, limit=1)
    assert members["pagination"]["total"] == 3
    assert await _total(client, calls.LIST_USERS, organization_id=first) == 3


async def test_members_are_counted_by_the_status_of_their_users(client: IdentityClient) -> None:
    *users, suspended, removed = await _create_users(client, 6)
    organization = await client.create_organization()
    for user in (*users, suspended, removed):
        await client.add_member(organization, user)
    outsider = await client.create_user()
    for user in (suspended, removed, outsider):
        await client.update_user(user, status="suspended")
    await client.update_user(users[0], status="suspended")
    await client.delete_user(removed)
    for status, wanted in (("active", 3), ("suspended", 2)):
        query = {"organization_id": organization, "status": status}
        assert await _total(client, calls.LIST_USERS, **query) == wanted
        listed = await client.list_users(**query)
        assert [each["status"] for each in listed["users"]] == [status] * wanted


async def test_invitations_are_counted_by_the_status_of_now(client: IdentityClient) -> None:
    """Those of a deleted user are not counted while they are still there."""
    organization = await client.create_organization()
    made = [
        (await client.create_invitation(organization, email=f"user{number}@example.com"))["id"]
        for number in range(9)
    ]
    for invitation in made[:2]:
        await client.expire_invitation(invitation)
    for invitation in made[2:5]:
        await client.call(invitation_calls.REVOKE_INVITATION, None, organization, invitation)
    totals = {"pending": 4, "expired": 2, "revoked": 3}

    async def check(whole: int) -> None:
        list_invitations = invitation_calls.LIST_INVITATIONS
        assert await _total(client, list_invitations, organization) == whole
        for status, wanted in totals.items():
            assert await _total(client, list_invitations, organization, status=status) == wanted
            ids = await client.list_invitations(organization, status=status)
            assert len(ids) == wanted

    await check(9)
    await client.pool.execute(
        "INSERT INTO cascades (tenant_id, kind, resource_id, detail, last_id, context)"
        " VALUES ($1, 'user', 'usr_1', 'user8@example.com', $2, '')",
        *(client.tenant, made[8]),
    )
    totals["pending"] = 3
    await check(8)


async def test_a_page_far_behind_is_the_one_that_a_walk_by_cursor_reaches(
    client: IdentityClient,
) -> None:
    await client.pool.execute(
        "INSERT INTO users (tenant_id, id, email, email_verified, status, metadata, version,"
        " created_at, updated_at) SELECT $1, 'usr_01jz' || lpad(to_hex(n), 6, '0') ||"
        " 'e008000000000000', 'u' || n || '@example.com', true, 'active', '{}', 1, now(), now()"
        " FROM generate_series(1, 2500) n",
        client.tenant,
    )
    for sort in ("-created_at", "email"):
        walked: list[str] = []
        query = {"limit": "200", "sort": sort}
        while True:
            page = await client.list_users(**query)
            walked += [each["id"] for each in page["users"]]
            if page["pagination"]["next_cursor"] is None:
                break
            query["cursor"] = page["pagination"]["next_cursor"]
        far = await client.list_users(limit=200, page=12, sort=sort)
        assert [each["id"] for each in far["users"]] == walked[2200:2400]
        assert far["pagination"]["total"] == 2500
