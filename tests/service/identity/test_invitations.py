"""Invitations to organizations, asked of identity alone."""

import asyncio
from datetime import datetime
from typing import Any

from contracts import invitations, members
from contracts import organizations as calls
from contracts import users as user_calls
from contracts.ids import new_id
from support.owner import Answer, Owner

EMAIL = "Ada@example.com"


async def _organization(identity: Owner, tenant: str, **fields: Any) -> str:
    made = await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": "Acme", **fields})
    assert made.status == 201, made.body
    return made.body["id"]


async def _invite(identity: Owner, tenant: str, organization: str, **fields: Any) -> Answer:
    body = {"email": EMAIL, **fields}
    return await identity.call(
        invitations.CREATE_INVITATION, tenant, body, path={"id": organization}
    )


async def _accept(identity: Owner, token: str, **fields: Any) -> Answer:
    body = {"token": token, **fields}
    return await identity.call(
        invitations.ACCEPT_INVITATION,
        None,
        body,
        actor_type="system",
        actor_id=None,
        scopes=(),
    )


async def _expire(identity: Owner, invitation: str) -> None:
    await identity.pool.execute(
        "UPDATE invitations SET expires_at = now() - interval '1 hour' WHERE id = $1", invitation
    )


async def _types(identity: Owner, tenant: str) -> list[str]:
    return [each["type"] for each in await identity.events(tenant)]


async def _listed(identity: Owner, tenant: str, organization: str, **query: Any) -> list[Any]:
    found = await identity.call(
        invitations.LIST_INVITATIONS, tenant, path={"id": organization}, query=query
    )
    assert found.status == 200, found.body
    return [(each["id"], each["status"]) for each in found.body["invitations"]]


async def test_the_token_is_shown_once_and_kept_as_a_hash(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization, role="admin")
    assert (made.status, made.reply.created) == (201, made.body["id"])
    token = made.body["token"]
    assert token.startswith("inv_")
    assert made.body["invited_by"] == "key_01jt7a3v9qf8mbd2m0q5k4h6xz"
    row = await identity.pool.fetchrow(
        "SELECT invitations::text AS row, token_hash FROM invitations WHERE id = $1",
        made.body["id"],
    )
    assert row is not None
    assert token not in row["row"]
    assert row["token_hash"] == identity.keys.hash("invitation", token)
    listed = await identity.call(invitations.LIST_INVITATIONS, tenant, path={"id": organization})
    assert set(listed.body["invitations"][0]) == set(made.body) - {"token"}


async def test_no_event_has_a_token_or_its_hash(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization)
    path = {"id": organization, "inv_id": made.body["id"]}
    again = await identity.call(invitations.RESEND_INVITATION, tenant, path=path)
    assert (await _accept(identity, again.body["token"])).status == 200
    text = str(await identity.events(tenant))
    for token in (made.body["token"], again.body["token"]):
        assert token not in text
        assert identity.keys.hash("invitation", token) not in text
    assert "token" not in text


async def test_one_invitation_is_pending_for_an_email(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    answers = await asyncio.gather(
        *(_invite(identity, tenant, organization, email=email) for email in (EMAIL, EMAIL.upper()))
    )
    assert sorted(each.status for each in answers) == [201, 409]
    codes = {each.body["code"] for each in answers if each.status == 409}
    assert codes == {"invitation_pending"}


async def test_an_expired_invitation_does_not_block(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    old = await _invite(identity, tenant, organization)
    await _expire(identity, old.body["id"])
    new = await _invite(identity, tenant, organization, email=EMAIL.lower())
    assert new.status == 201, new.body
    assert (await _accept(identity, old.body["token"])).status == 410
    assert (await _accept(identity, new.body["token"])).status == 200


async def test_a_member_is_not_invited(identity: Owner, tenant: str) -> None:
    user = await identity.call(user_calls.CREATE_USER, tenant, {"email": EMAIL})
    organization = await _organization(identity, tenant, owner_id=user.body["id"])
    refused = await _invite(identity, tenant, organization, email=EMAIL.lower())
    assert (refused.status, refused.body["code"]) == (409, "already_member")
    elsewhere = await _invite(identity, tenant, new_id("org"))
    assert elsewhere.status == 404


async def test_an_absent_organization_has_no_list_and_a_new_one_an_empty_one(
    identity: Owner, tenant: str
) -> None:
    assert await _listed(identity, tenant, await _organization(identity, tenant)) == []
    path = {"id": new_id("org")}
    absent = await identity.call(invitations.LIST_INVITATIONS, tenant, path=path)
    assert absent.status == 404


async def test_a_pending_one_past_its_time_reads_expired(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    old = (await _invite(identity, tenant, organization, email="old@example.com")).body["id"]
    new = (await _invite(identity, tenant, organization)).body["id"]
    await _expire(identity, old)
    assert await _listed(identity, tenant, organization) == [(new, "pending"), (old, "expired")]
    assert await _listed(identity, tenant, organization, status="expired") == [(old, "expired")]
    assert await _listed(identity, tenant, organization, status="pending") == [(new, "pending")]


async def test_a_revoked_invitation_is_dead(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization)
    path = {"id": organization, "inv_id": made.body["id"]}
    assert (await identity.call(invitations.REVOKE_INVITATION, tenant, path=path)).status == 204
    assert (await identity.call(invitations.REVOKE_INVITATION, tenant, path=path)).status == 404
    resent = await identity.call(invitations.RESEND_INVITATION, tenant, path=path)
    assert (resent.status, resent.body["code"]) == (409, "invitation_closed")
    accepted = await _accept(identity, made.body["token"])
    assert (accepted.status, accepted.body["code"]) == (410, "invitation_closed")
    assert (await _types(identity, tenant))[-1] == "invitation.revoked"


async def test_an_accepted_invitation_is_closed(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization)
    assert (await _accept(identity, made.body["token"])).status == 200
    path = {"id": organization, "inv_id": made.body["id"]}
    for call in (invitations.REVOKE_INVITATION, invitations.RESEND_INVITATION):
        refused = await identity.call(call, tenant, path=path)
        assert (refused.status, refused.body["code"]) == (409, "invitation_closed")


async def test_resending_kills_the_old_token_and_keeps_the_lifetime(
    identity: Owner, tenant: str
) -> None:
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization, expires_in=3600)
    await _expire(identity, made.body["id"])
    path = {"id": organization, "inv_id": made.body["id"]}
    lifetimes = []
    for _ in range(2):
        again = await identity.call(invitations.RESEND_INVITATION, tenant, path=path)
        assert (again.status, again.body["status"]) == (200, "pending"), again.body
        event = (await identity.events(tenant))[-1]
        assert event["type"] == "invitation.resent"
        sent = datetime.fromisoformat(event["time"])
        lifetimes.append((datetime.fromisoformat(again.body["expires_at"]) - sent).total_seconds())
    assert all(3590 < lifetime < 3610 for lifetime in lifetimes), lifetimes
    assert (await _accept(identity, made.body["token"])).status == 410
    assert (await _accept(identity, again.body["token"])).status == 200


async def test_accepting_makes_the_user_and_the_member(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization, role="admin", permissions=["billing:read"])
    accepted = await _accept(identity, made.body["token"], name="Ada")
    assert accepted.status == 200, accepted.body
    member = accepted.body["member"]
    assert accepted.body["organization_id"] == organization
    assert (member["role"], member["permissions"]) == ("admin", ["billing:read"])
    assert (member["user"]["email"], member["user"]["name"]) == (EMAIL, "Ada")
    events = (await identity.events(tenant))[-3:]
    assert sorted(each["type"] for each in events) == [
        "invitation.accepted",
        "member.added",
        "user.created",
    ]
    assert await _listed(identity, tenant, organization) == [(made.body["id"], "accepted")]
    actors = {(each["actortype"], each["actorid"]) for each in events if each["type"][0] != "u"}
    assert actors == {("user", member["user_id"])}


async def test_a_known_email_joins_as_that_user(identity: Owner, tenant: str) -> None:
    user = await identity.call(user_calls.CREATE_USER, tenant, {"email": EMAIL.lower()})
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization)
    accepted = await _accept(identity, made.body["token"])
    assert accepted.body["member"]["user_id"] == user.body["id"]
    assert (await _types(identity, tenant)).count("user.created") == 1


async def test_a_member_meanwhile_cannot_accept(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization)
    user = await identity.call(user_calls.CREATE_USER, tenant, {"email": EMAIL})
    body = {"user_id": user.body["id"]}
    await identity.call(members.ADD_MEMBER, tenant, body, path={"id": organization})
    refused = await _accept(identity, made.body["token"])
    assert (refused.status, refused.body["code"]) == (409, "already_member")


async def test_a_token_works_once_however_many_try(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    token = (await _invite(identity, tenant, organization)).body["token"]
    answers = await asyncio.gather(*(_accept(identity, token) for _ in range(10)))
    assert sorted(each.status for each in answers) == [200] + [410] * 9
    types = await _types(identity, tenant)
    for wanted in ("user.created", "member.added", "invitation.accepted"):
        assert types.count(wanted) == 1


async def test_an_unknown_token_is_closed(identity: Owner) -> None:
    refused = await _accept(identity, "inv_nothing")
    assert (refused.status, refused.body["code"]) == (410, "invitation_closed")


async def test_a_deleted_organization_revokes_what_is_pending(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant)
    made = await _invite(identity, tenant, organization)
    await identity.call(calls.DELETE_ORGANIZATION, tenant, path={"id": organization})
    events = (await identity.events(tenant))[-2:]
    assert [each["type"] for each in events] == ["invitation.revoked", "organization.deleted"]
    assert events[0]["data"]["invitation"]["status"] == "revoked"
    assert (await _accept(identity, made.body["token"])).status == 410
