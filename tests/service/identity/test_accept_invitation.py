"""Accepting invitations: who may, what is created, and what the events name."""

import asyncio

from service.identity.client import IdentityClient

EMAIL = "Ada@example.com"


async def test_accepting_creates_the_user_and_the_member(client: IdentityClient) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(
        organization, email=EMAIL, role="admin", permissions=["billing:read"]
    )
    accepted = await client.accept_invitation(invitation["token"], name="Ada")
    assert accepted.status == 200, accepted.body
    member = accepted.body["member"]
    assert accepted.body["organization_id"] == organization
    assert (member["role"], member["permissions"]) == ("admin", ["billing:read"])
    assert (member["user"]["email"], member["user"]["name"]) == (EMAIL, "Ada")
    assert await client.list_invitations(organization) == [(invitation["id"], "accepted")]


async def test_every_event_of_accepting_names_the_user(client: IdentityClient) -> None:
    invitation = await client.create_invitation(await client.create_organization())
    accepted = await client.accept_invitation(invitation["token"])
    events = (await client.events())[2:]
    assert [each["type"] for each in events] == [
        "user.created",
        "invitation.accepted",
        "member.added",
    ]
    user = accepted.body["member"]["user_id"]
    assert {(each["actortype"], each["actorid"]) for each in events} == {("user", user)}
    assert events[0]["data"]["user"]["email_verified"] is False


async def test_the_invitation_says_whether_the_new_user_is_verified(client: IdentityClient) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(organization, email_verified=True)
    accepted = await client.accept_invitation(invitation["token"])
    user = await client.get_user(accepted.body["member"]["user_id"])
    assert user["email_verified"] is True


async def test_who_signed_up_with_the_address_before_loses_the_sessions(
    client: IdentityClient,
) -> None:
    organization = await client.create_organization()
    for email, verified, left in (("a@x.test", False, 0), ("b@x.test", True, 1)):
        user = await client.create_user(email, email_verified=verified)
        session = await client.insert_session(user)
        invitation = await client.create_invitation(organization, email=email)
        assert (await client.accept_invitation(invitation["token"])).status == 200
        assert len((await client.get_user(user))["sessions"]) == left
        assert ((session, "revoked") in await client.revoked_sessions()) is (left == 0)


async def test_the_user_who_has_the_email_becomes_the_member(client: IdentityClient) -> None:
    user = await client.create_user(EMAIL.lower())
    invitation = await client.create_invitation(await client.create_organization(), email=EMAIL)
    accepted = await client.accept_invitation(invitation["token"])
    assert accepted.body["member"]["user_id"] == user
    assert (await client.event_types()).count("user.created") == 1


async def test_a_member_cannot_accept(client: IdentityClient) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(organization, email=EMAIL)
    member = await client.create_user("other@x.test")
    await client.add_member(organization, member)
    await client.update_user(member, email=EMAIL)
    refused = await client.accept_invitation(invitation["token"])
    assert (refused.status, refused.body["code"]) == (409, "already_member")


async def test_who_becomes_a_member_has_no_invitation_any_more(client: IdentityClient) -> None:
    organization = await client.create_organization()
    user = await client.create_user("adaİ@x.test")
    invitation = await client.create_invitation(organization, email="ADAİ@x.test", role="owner")
    await client.add_member(organization, user)
    assert await client.list_invitations(organization) == [(invitation["id"], "revoked")]
    assert (await client.event_types())[-2:] == ["member.added", "invitation.revoked"]
    assert (await client.accept_invitation(invitation["token"])).status == 410


async def test_who_is_removed_does_not_come_back_by_an_older_invitation(
    client: IdentityClient,
) -> None:
    organization = await client.create_organization()
    member = await client.create_user("other@x.test")
    await client.add_member(organization, member)
    pending = await client.create_invitation(organization, email=EMAIL, role="owner")
    expired = await client.create_invitation(organization, email="old@x.test")
    await client.expire_invitation(expired["id"])
    await client.update_user(member, email=EMAIL)
    assert (await client.remove_member(organization, member)).status == 204
    assert (await client.accept_invitation(pending["token"])).status == 410
    statuses = dict(await client.list_invitations(organization))
    assert statuses == {pending["id"]: "revoked", expired["id"]: "expired"}


async def test_a_suspended_user_cannot_accept(client: IdentityClient) -> None:
    user = await client.create_user(status="suspended")
    invitation = await client.create_invitation(await client.create_organization())
    refused = await client.accept_invitation(invitation["token"])
    assert (refused.status, refused.body["code"]) == (409, "user_suspended")
    await client.update_user(user, status="active")
    assert (await client.accept_invitation(invitation["token"])).status == 200


async def test_nobody_accepts_in_a_suspended_tenant(client: IdentityClient) -> None:
    invitation = await client.create_invitation(await client.create_organization())
    before = await client.event_types()
    await client.suspend_tenant()
    refused = await client.accept_invitation(invitation["token"])
    assert (refused.status, refused.body["code"]) == (403, "tenant_suspended")
    assert await client.event_types() == before


async def test_a_token_works_once_however_many_try(client: IdentityClient) -> None:
    invitation = await client.create_invitation(await client.create_organization())
    replies = await asyncio.gather(
        *(client.accept_invitation(invitation["token"]) for _ in range(10))
    )
    assert sorted(each.status for each in replies) == [200] + [410] * 9
    types = await client.event_types()
    for wanted in ("user.created", "member.added", "invitation.accepted"):
        assert types.count(wanted) == 1


async def test_a_new_user_accepts_four_invitations_at_once(client: IdentityClient) -> None:
    organizations = [await client.create_organization() for _ in range(4)]
    tokens = [(await client.create_invitation(each))["token"] for each in organizations]
    replies = await asyncio.gather(*(client.accept_invitation(token) for token in tokens))
    assert [each.status for each in replies] == [200] * 4
    assert len({each.body["member"]["user_id"] for each in replies}) == 1
    assert (await client.event_types()).count("user.created") == 1


async def test_an_unknown_token_is_closed(client: IdentityClient) -> None:
    refused = await client.accept_invitation("inv_nothing")
    assert (refused.status, refused.body["code"]) == (410, "invitation_closed")


async def test_an_older_invitation_works_whatever_its_address(client: IdentityClient) -> None:
    """Its address was stored before invisible letters were refused."""
    invitation = await client.create_invitation(await client.create_organization())
    await client.pool.execute(
        "UPDATE invitations SET email = $2 WHERE id = $1", invitation["id"], "a\u3164@example.com"
    )
    refused = await client.accept_invitation(invitation["token"], name="Ada\u200b")
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "name")
    accepted = await client.accept_invitation(invitation["token"], name="Ada")
    assert accepted.status == 200, accepted.body
    assert accepted.body["member"]["user"]["email"] == "a\u3164@example.com"
