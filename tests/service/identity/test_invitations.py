"""Invitations: created, listed, revoked, resent; one is pending for an email."""

import asyncio
from datetime import datetime

from contracts import invitations as calls
from contracts.ids import new_id
from service.identity.client import IdentityClient
from support.owner import Answer

EMAIL = "Ada@example.com"


async def _create(client: IdentityClient, organization: str, email: str = EMAIL) -> Answer:
    return await client.call(calls.CREATE_INVITATION, {"email": email}, organization)


async def test_the_token_is_shown_once_and_kept_as_a_hash(client: IdentityClient) -> None:
    organization = await client.create_organization()
    created = await _create(client, organization)
    assert (created.status, created.reply.created) == (201, created.body["id"])
    token = created.body["token"]
    assert token.startswith("inv_")
    assert created.body["invited_by"] == "key_01jt7a3v9qf8mbd2m0q5k4h6xz"
    row = await client.pool.fetchrow(
        "SELECT invitations::text AS row, token_hash FROM invitations WHERE id = $1",
        created.body["id"],
    )
    assert row is not None
    assert token not in row["row"]
    assert row["token_hash"] == client.identity.keyring.hash("invitation", token)
    listed = await client.call(calls.LIST_INVITATIONS, None, organization)
    assert set(listed.body["invitations"][0]) == set(created.body) - {"token"}


async def test_no_event_has_a_token_or_its_hash(client: IdentityClient) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(organization)
    resent = await client.call(calls.RESEND_INVITATION, None, organization, invitation["id"])
    assert (await client.accept_invitation(resent.body["token"])).status == 200
    text = str(await client.events())
    for token in (invitation["token"], resent.body["token"]):
        assert token not in text
        assert client.identity.keyring.hash("invitation", token) not in text
    assert "token" not in text


async def test_to_verify_an_email_needs_the_scope_to_write_users(client: IdentityClient) -> None:
    organization = await client.create_organization()
    body = {"email": EMAIL, "email_verified": True}
    for scopes, status in (
        (["organizations:write"], 403),
        (["organizations:write", "users:write"], 201),
    ):
        created = await client.call(calls.CREATE_INVITATION, body, organization, scopes=scopes)
        assert created.status == status
    assert created.body["email_verified"] is True


async def test_the_quota_counts_what_is_pending(client: IdentityClient) -> None:
    organization = await client.create_organization()
    quotas = {"pending_invitations_per_organization": 2}

    async def create(email: str) -> Answer:
        return await client.call(
            calls.CREATE_INVITATION, {"email": email}, organization, quotas=quotas
        )

    replies = await asyncio.gather(*(create(f"{number}@x.test") for number in range(6)))
    made = [each.body["id"] for each in replies if each.status == 201]
    refused = [each.body for each in replies if each.status == 409]
    assert (len(made), len(refused)) == (2, 4)
    assert {(each["code"], each["limit"]) for each in refused} == {("quota_exceeded", 2)}
    await client.expire_invitation(made[0])
    assert (await create("7@x.test")).status == 201
    resent = await client.call(calls.RESEND_INVITATION, None, organization, made[0], quotas=quotas)
    assert (resent.status, resent.body["code"]) == (409, "quota_exceeded")
    await client.call(calls.REVOKE_INVITATION, None, organization, made[1])
    resent = await client.call(calls.RESEND_INVITATION, None, organization, made[0], quotas=quotas)
    assert resent.status == 200


async def test_one_invitation_is_pending_for_an_email(client: IdentityClient) -> None:
    organization = await client.create_organization()
    replies = await asyncio.gather(
        *(_create(client, organization, email) for email in (EMAIL, EMAIL.upper()))
    )
    assert sorted(each.status for each in replies) == [201, 409]
    codes = {each.body["code"] for each in replies if each.status == 409}
    assert codes == {"invitation_pending"}


async def test_a_repeated_key_shows_the_same_token(client: IdentityClient) -> None:
    organization = await client.create_organization()
    body = {"email": EMAIL}
    first, again = [
        await client.call(calls.CREATE_INVITATION, body, organization, idempotency_key="once")
        for _ in range(2)
    ]
    assert first.reply.body == again.reply.body
    assert (await client.accept_invitation(again.body["token"])).status == 200


async def test_an_expired_invitation_does_not_block(client: IdentityClient) -> None:
    organization = await client.create_organization()
    old = await client.create_invitation(organization)
    await client.expire_invitation(old["id"])
    new = await client.create_invitation(organization, email=EMAIL.lower())
    assert (await client.accept_invitation(old["token"])).status == 410
    assert (await client.accept_invitation(new["token"])).status == 200


async def test_a_member_is_not_invited(client: IdentityClient) -> None:
    user = await client.create_user(EMAIL)
    organization = await client.create_organization(owner_id=user)
    refused = await _create(client, organization, EMAIL.lower())
    assert (refused.status, refused.body["code"]) == (409, "already_member")
    assert (await _create(client, new_id("org"))).status == 404


async def test_an_absent_organization_has_no_list_and_a_new_one_an_empty_one(
    client: IdentityClient,
) -> None:
    assert await client.list_invitations(await client.create_organization()) == []
    absent = await client.call(calls.LIST_INVITATIONS, None, new_id("org"))
    assert absent.status == 404


async def test_a_pending_one_past_its_time_is_shown_as_expired(client: IdentityClient) -> None:
    organization = await client.create_organization()
    old = (await client.create_invitation(organization, email="old@example.com"))["id"]
    new = (await client.create_invitation(organization))["id"]
    await client.expire_invitation(old)
    listed = client.list_invitations
    assert await listed(organization) == [(new, "pending"), (old, "expired")]
    assert await listed(organization, status="expired") == [(old, "expired")]
    assert await listed(organization, status="pending") == [(new, "pending")]


async def test_a_revoked_invitation_is_closed(client: IdentityClient) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(organization)
    path = (organization, invitation["id"])
    for status in (204, 404):
        revoked = await client.call(calls.REVOKE_INVITATION, None, *path)
        assert revoked.status == status
    resent = await client.call(calls.RESEND_INVITATION, None, *path)
    assert (resent.status, resent.body["code"]) == (409, "invitation_closed")
    accepted = await client.accept_invitation(invitation["token"])
    assert (accepted.status, accepted.body["code"]) == (410, "invitation_closed")
    assert (await client.event_types())[-1] == "invitation.revoked"


async def test_an_accepted_invitation_is_closed(client: IdentityClient) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(organization)
    assert (await client.accept_invitation(invitation["token"])).status == 200
    for call in (calls.REVOKE_INVITATION, calls.RESEND_INVITATION):
        refused = await client.call(call, None, organization, invitation["id"])
        assert (refused.status, refused.body["code"]) == (409, "invitation_closed")


async def test_resending_ends_the_old_token_and_keeps_the_lifetime(
    client: IdentityClient,
) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(organization, expires_in=3600)
    await client.expire_invitation(invitation["id"])
    lifetimes = []
    for _ in range(2):
        resent = await client.call(calls.RESEND_INVITATION, None, organization, invitation["id"])
        assert (resent.status, resent.body["status"]) == (200, "pending"), resent.body
        event = (await client.events())[-1]
        assert event["type"] == "invitation.resent"
        sent_at, expires_at = (
            datetime.fromisoformat(each) for each in (event["time"], resent.body["expires_at"])
        )
        lifetimes.append((expires_at - sent_at).total_seconds())
    assert all(3590 < lifetime < 3610 for lifetime in lifetimes), lifetimes
    assert (await client.accept_invitation(invitation["token"])).status == 410
    assert (await client.accept_invitation(resent.body["token"])).status == 200


async def test_a_replaced_one_stays_expired_and_can_be_resent_later(
    client: IdentityClient,
) -> None:
    organization = await client.create_organization()
    old = await client.create_invitation(organization)
    await client.expire_invitation(old["id"])
    new = await client.create_invitation(organization)
    assert await client.list_invitations(organization) == [
        (new["id"], "pending"),
        (old["id"], "expired"),
    ]
    assert (await client.event_types())[1:] == ["invitation.created"] * 2
    blocked = await client.call(calls.RESEND_INVITATION, None, organization, old["id"])
    assert (blocked.status, blocked.body["code"]) == (409, "invitation_pending")
    await client.call(calls.REVOKE_INVITATION, None, organization, new["id"])
    resent = await client.call(calls.RESEND_INVITATION, None, organization, old["id"])
    assert (resent.status, resent.body["status"]) == (200, "pending")
    assert (await client.accept_invitation(resent.body["token"])).status == 200
