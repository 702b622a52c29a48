"""Deleting a user: what goes with it, what it would take, and who stays."""

import asyncio

from contracts import users as calls
from service.identity.client import IdentityClient


async def test_a_deleted_user_leaves_only_the_identifier(client: IdentityClient) -> None:
    owner, user = await client.create_user(), await client.create_user("bob@example.com")
    organizations = [await client.create_organization(owner_id=owner) for _ in range(2)]
    for organization in organizations:
        await client.add_member(organization, user)
    session = await client.insert_session(user)
    before = await client.event_types()
    preview = await client.delete_user(user, dry_run="true")
    assert preview.status == 200
    assert preview.body["would_delete"] == {"memberships": 2, "sessions": 1, "invitations": 0}
    assert await client.event_types() == before
    assert (await client.delete_user(user)).status == 204
    assert (await client.delete_user(user)).status == 404
    events = (await client.events())[len(before) :]
    assert [each["type"] for each in events] == [
        *["member.removed"] * 2,
        "session.revoked",
        "user.deleted",
    ]
    assert {each["data"]["organization_id"] for each in events[:2]} == set(organizations)
    assert (events[2]["subject"], events[2]["data"]["reason"]) == (session, "user_deleted")
    assert events[3]["data"] == {"user_id": user}
    for organization in organizations:
        assert (await client.get_organization(organization))["member_count"] == 1


async def test_invitations_to_former_emails_are_deleted_too(client: IdentityClient) -> None:
    organization = await client.create_organization()
    invitations = [
        await client.create_invitation(organization, email=f"{name}@x.test") for name in "abc"
    ]
    user = await client.create_user("a@x.test")
    await client.update_user(user, email="b@x.test")
    assert (await client.accept_invitation(invitations[1]["token"])).status == 200
    await client.update_user(user, email="d@x.test")
    assert (await client.delete_user(user)).status == 204
    assert await client.list_invitations(organization) == [(invitations[2]["id"], "pending")]


async def test_the_last_owner_is_deleted_only_by_force(client: IdentityClient) -> None:
    owner, other = await client.create_user(), await client.create_user("bob@example.com")
    organization = await client.create_organization(owner_id=owner)
    await client.add_member(organization, other, role="admin")
    before = await client.event_types()
    refused = await client.delete_user(owner)
    assert (refused.status, refused.body["code"]) == (409, "last_owner")
    assert await client.event_types() == before
    assert (await client.delete_user(owner, force="true")).status == 204
    (left,) = (await client.get_user(other))["organizations"]
    assert left["id"] == organization


async def test_two_owners_deleted_at_once_leave_one(client: IdentityClient) -> None:
    for number in range(5):
        owners = [await client.create_user(f"{each}{number}@example.com") for each in "ab"]
        organization = await client.create_organization(owner_id=owners[0])
        await client.add_member(organization, owners[1], role="owner")
        replies = await asyncio.gather(*(client.delete_user(owner) for owner in owners))
        assert sorted(each.status for each in replies) == [204, 409]


async def test_a_deleted_user_is_not_created_again_by_an_old_invitation(
    client: IdentityClient,
) -> None:
    user = await client.create_user("ADA@EXAMPLE.COM")
    accepted = await client.create_invitation(await client.create_organization())
    assert (await client.accept_invitation(accepted["token"])).status == 200
    pending = await client.create_invitation(await client.create_organization())
    preview = await client.delete_user(user, dry_run="true")
    assert preview.body["would_delete"] == {"memberships": 1, "sessions": 0, "invitations": 1}
    assert (await client.delete_user(user)).status == 204
    assert (await client.event_types())[-3:] == [
        "member.removed",
        "invitation.revoked",
        "user.deleted",
    ]
    assert (await client.accept_invitation(pending["token"])).status == 410
    left = await client.pool.fetchval(
        "SELECT count(*) FROM invitations WHERE tenant_id = $1", client.tenant
    )
    assert left == 0
    assert (await client.call(calls.GET_USER, None, user)).status == 404
