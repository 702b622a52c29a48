"""An organization that has an owner who is not suspended keeps one, whatever happens at once."""

import asyncio
import time

import asyncpg
import pytest
from contracts import users as calls
from service.identity.client import IdentityClient
from support.owner import Answer
from tenantry.servers import Servers


async def suspend(client: IdentityClient, user: str, **options: object) -> Answer:
    return await client.call(calls.UPDATE_USER, {"status": "suspended"}, user, **options)


async def create_owned(client: IdentityClient, *emails: str) -> tuple[str, list[str]]:
    """An organization and its owners."""
    owners = [await client.create_user(email) for email in emails]
    organization = await client.create_organization(owner_id=owners[0])
    for owner in owners[1:]:
        await client.add_member(organization, owner, role="owner")
    return organization, owners


async def count_active_owners(client: IdentityClient, organization: str) -> int:
    owners = await client.list_members(organization, role="owner")
    users = [await client.get_user(each["user_id"]) for each in owners["members"]]
    return [each["status"] for each in users].count("active")


async def test_the_last_owner_is_not_suspended(client: IdentityClient) -> None:
    organization, (owner,) = await create_owned(client, "ada@example.com")
    session = await client.insert_session(owner)
    before = await client.event_types()
    refused = await suspend(client, owner)
    assert (refused.status, refused.body["code"]) == (409, "last_owner")
    assert organization in refused.body["detail"]
    found = await client.get_user(owner)
    assert (found["status"], found["version"]) == ("active", 1)
    assert [each["id"] for each in found["sessions"]] == [session]
    assert await client.event_types() == before
    other = await client.create_user("bob@example.com")
    await client.add_member(organization, other, role="owner")
    assert (await suspend(client, owner)).status == 200
    # What changes nothing is no suspension.
    assert (await suspend(client, owner)).status == 200


async def test_a_suspended_owner_does_not_count(client: IdentityClient) -> None:
    organization, (one, two) = await create_owned(client, "ada@example.com", "bob@example.com")
    assert (await suspend(client, two)).status == 200
    refused = [
        await suspend(client, one),
        await client.delete_user(one),
        await client.delete_user(one, dry_run="true"),
        await client.remove_member(organization, one),
        await client.update_member(organization, one, role="admin"),
    ]
    assert [(each.status, each.body["code"]) for each in refused] == [(409, "last_owner")] * 5
    # The suspended one may go: the other is still there.
    assert (await client.remove_member(organization, two)).status == 204
    assert await count_active_owners(client, organization) == 1


async def test_a_dry_run_says_what_the_deletion_says(client: IdentityClient) -> None:
    organization, (owner,) = await create_owned(client, "ada@example.com")
    before = await client.event_types()
    preview = await client.delete_user(owner, dry_run="true")
    deletion = await client.delete_user(owner)
    assert (preview.status, preview.body["code"]) == (409, "last_owner")
    assert preview.body["detail"] == deletion.body["detail"]
    forced = await client.delete_user(owner, dry_run="true", force="true")
    assert forced.body["would_delete"]["memberships"] == 1
    await client.add_member(organization, await client.create_user("bob@example.com"), role="owner")
    allowed = await client.delete_user(owner, dry_run="true")
    assert (allowed.status, allowed.body) == (forced.status, forced.body)
    assert "user.deleted" not in (await client.event_types())[len(before) :]


async def test_two_owners_who_go_at_once_leave_one(client: IdentityClient) -> None:
    for number in range(4):
        for first, second in (
            ("suspend", "suspend"),
            ("suspend", "remove"),
            ("suspend", "demote"),
            ("suspend", "delete"),
        ):
            emails = [f"{each}{number}.{second}@example.com" for each in "ab"]
            organization, owners = await create_owned(client, *emails)
            ways = {
                "suspend": lambda user: suspend(client, user),
                "remove": lambda user, of=organization: client.remove_member(of, user),
                "demote": lambda user, of=organization: client.update_member(
                    of, user, role="member"
                ),
                "delete": client.delete_user,
            }
            replies = await asyncio.gather(ways[first](owners[0]), ways[second](owners[1]))
            assert sorted(each.status < 400 for each in replies) == [False, True], second
            assert [each.body["code"] for each in replies if each.status >= 400] == ["last_owner"]
            assert await count_active_owners(client, organization) == 1


async def test_whoever_becomes_an_owner_while_suspended_takes_nobodys_place(
    client: IdentityClient,
) -> None:
    """The new owner is suspended, and the old one goes, both at the moment of the promotion."""
    for number in range(6):
        organization, (owner,) = await create_owned(client, f"a{number}@example.com")
        heir = await client.create_user(f"b{number}@example.com")
        become = client.add_member(organization, heir, role="owner")
        if number % 2:
            become.close()
            await client.add_member(organization, heir)
            become = client.update_member(organization, heir, role="owner")
        leave = client.update_member(organization, owner, role="member")
        replies = await asyncio.gather(become, suspend(client, heir), leave)
        assert {each.status for each in replies} <= {200, 201, 409}
        assert await count_active_owners(client, organization) == 1


OWN_MANY = """
WITH made AS (
  INSERT INTO organizations (tenant_id, id, name, slug, settings, metadata, member_count, version,
                             created_at, updated_at)
  SELECT $1 || t, 'org_' || lpad(n::text, 26, '0'), 'Acme', 'acme-' || n, '{}', '{}', 2, 1, now(),
         now()
    FROM unnest($2::text[]) AS t, generate_series(1, $3::int) AS n RETURNING tenant_id, id)
INSERT INTO members (tenant_id, organization_id, user_id, role, permissions, joined_at)
SELECT tenant_id, id, owner, 'owner', '{}', now() FROM made, unnest($4::text[]) AS owner
"""
MANY = 20_000


@pytest.mark.parametrize("is_analyzed_before", [False, True])
async def test_the_owner_of_very_many_organizations_is_checked_within_the_deadline(
    client: IdentityClient, servers: Servers, is_analyzed_before: bool
) -> None:
    """Also when statistics know only tenants that have one organization each."""
    one, two = await client.create_user(), await client.create_user("bob@example.com")
    owner = await asyncpg.connect(servers.migration_url("identity"))
    if is_analyzed_before:
        await owner.execute("DELETE FROM members")
        await owner.execute("DELETE FROM organizations")
        small = [str(number) for number in range(300)]
        await owner.execute(OWN_MANY, "ten_small", small, 1, ["usr_1", "usr_2"])
        await owner.execute("ANALYZE organizations, members")
    await owner.execute(OWN_MANY, client.tenant, [""], MANY, [one, two])
    await owner.close()
    began = time.monotonic()
    assert (await client.delete_user(one, dry_run="true")).status == 200
    assert time.monotonic() - began < 2
    began = time.monotonic()
    assert (await suspend(client, one)).status == 200
    assert time.monotonic() - began < 2
    began = time.monotonic()
    assert (await suspend(client, two)).status == 409
    assert time.monotonic() - began < 2
