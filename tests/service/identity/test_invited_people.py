"""Who may accept what, and what becomes of invitations whose person or place has changed."""

from typing import Any

from contracts import invitations
from contracts import organizations as calls
from contracts import users as user_calls
from service.identity.people import suspend
from support.owner import Answer, Owner

EMAIL = "ada@example.com"


async def _organization(identity: Owner, tenant: str) -> str:
    made = await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": "Acme"})
    return made.body["id"]


async def _invite(identity: Owner, tenant: str, organization: str) -> Any:
    path = {"id": organization}
    made = await identity.call(invitations.CREATE_INVITATION, tenant, {"email": EMAIL}, path=path)
    assert made.status == 201, made.body
    return made.body


async def _accept(identity: Owner, token: str) -> Answer:
    return await identity.call(invitations.ACCEPT_INVITATION, None, {"token": token}, actor_id=None)


async def _expire(identity: Owner, invitation: str) -> None:
    await identity.pool.execute(
        "UPDATE invitations SET expires_at = now() - interval '1 hour' WHERE id = $1", invitation
    )


async def _listed(identity: Owner, tenant: str, organization: str) -> list[tuple[str, str]]:
    found = await identity.call(invitations.LIST_INVITATIONS, tenant, path={"id": organization})
    return [(each["id"], each["status"]) for each in found.body["invitations"]]


async def _types(identity: Owner, tenant: str) -> list[str]:
    return [each["type"] for each in await identity.events(tenant)]


async def test_a_suspended_user_does_not_come_in(identity: Owner, tenant: str) -> None:
    body = {"email": EMAIL, "status": "suspended"}
    user = await identity.call(user_calls.CREATE_USER, tenant, body)
    invited = await _invite(identity, tenant, await _organization(identity, tenant))
    refused = await _accept(identity, invited["token"])
    assert (refused.status, refused.body["code"]) == (409, "user_suspended")
    path = {"id": user.body["id"]}
    await identity.call(user_calls.UPDATE_USER, tenant, {"status": "active"}, path=path)
    assert (await _accept(identity, invited["token"])).status == 200


async def test_nobody_comes_into_a_suspended_tenant(
    identity: Owner, projects: Owner, tenant: str
) -> None:
    invited = await _invite(identity, tenant, await _organization(identity, tenant))
    before = await _types(identity, tenant)
    await suspend(projects, tenant)
    refused = await _accept(identity, invited["token"])
    assert (refused.status, refused.body["code"]) == (403, "tenant_suspended")
    assert await _types(identity, tenant) == before


async def test_every_event_of_accepting_names_the_person(identity: Owner, tenant: str) -> None:
    invited = await _invite(identity, tenant, await _organization(identity, tenant))
    accepted = await _accept(identity, invited["token"])
    events = (await identity.events(tenant))[2:]
    assert [each["type"] for each in events] == [
        "user.created",
        "invitation.accepted",
        "member.added",
    ]
    user = accepted.body["member"]["user_id"]
    assert {(each["actortype"], each["actorid"]) for each in events} == {("user", user)}
    assert events[0]["data"]["user"]["email_verified"] is True


async def test_one_that_was_replaced_stays_expired_and_can_come_back(
    identity: Owner, tenant: str
) -> None:
    organization = await _organization(identity, tenant)
    old = await _invite(identity, tenant, organization)
    await _expire(identity, old["id"])
    new = await _invite(identity, tenant, organization)
    assert await _listed(identity, tenant, organization) == [
        (new["id"], "pending"),
        (old["id"], "expired"),
    ]
    assert (await _types(identity, tenant))[1:] == ["invitation.created"] * 2
    path = {"id": organization, "inv_id": old["id"]}
    blocked = await identity.call(invitations.RESEND_INVITATION, tenant, path=path)
    assert (blocked.status, blocked.body["code"]) == (409, "invitation_pending")
    await identity.call(invitations.REVOKE_INVITATION, tenant, path={**path, "inv_id": new["id"]})
    again = await identity.call(invitations.RESEND_INVITATION, tenant, path=path)
    assert (again.status, again.body["status"]) == (200, "pending")
    assert (await _accept(identity, again.body["token"])).status == 200


async def test_an_expired_one_goes_silently_with_its_organization(
    identity: Owner, tenant: str
) -> None:
    organization = await _organization(identity, tenant)
    await _expire(identity, (await _invite(identity, tenant, organization))["id"])
    path = {"id": organization}
    preview = await identity.call(
        calls.DELETE_ORGANIZATION, tenant, path=path, query={"dry_run": "true"}
    )
    assert preview.body["would_delete"] == {"memberships": 0, "invitations": 0}
    await identity.call(calls.DELETE_ORGANIZATION, tenant, path=path)
    assert (await _types(identity, tenant))[-1] == "organization.deleted"
    assert "invitation.revoked" not in await _types(identity, tenant)


async def test_a_deleted_person_is_not_made_anew_by_an_old_invitation(
    identity: Owner, tenant: str
) -> None:
    user = await identity.call(user_calls.CREATE_USER, tenant, {"email": EMAIL.upper()})
    joined = await _invite(identity, tenant, await _organization(identity, tenant))
    await _accept(identity, joined["token"])
    body = {"name": "Other"}
    other = await identity.call(calls.CREATE_ORGANIZATION, tenant, body)
    waiting = await _invite(identity, tenant, other.body["id"])
    path = {"id": user.body["id"]}
    preview = await identity.call(
        user_calls.DELETE_USER, tenant, path=path, query={"dry_run": "true"}
    )
    assert preview.body["would_delete"] == {"memberships": 1, "sessions": 0, "invitations": 1}
    assert (await identity.call(user_calls.DELETE_USER, tenant, path=path)).status == 204
    assert (await _types(identity, tenant))[-3:] == [
        "member.removed",
        "invitation.revoked",
        "user.deleted",
    ]
    assert (await _accept(identity, waiting["token"])).status == 410
    left = await identity.pool.fetchval(
        "SELECT count(*) FROM invitations WHERE tenant_id = $1", tenant
    )
    assert left == 0


async def test_members_who_come_and_go_change_the_etag(identity: Owner, tenant: str) -> None:
    path = {"id": await _organization(identity, tenant)}
    before = await identity.call(calls.GET_ORGANIZATION, tenant, path=path)
    invited = await _invite(identity, tenant, path["id"])
    assert (await _accept(identity, invited["token"])).status == 200
    after = await identity.call(calls.GET_ORGANIZATION, tenant, path=path)
    assert before.body["version"] == after.body["version"]
    assert before.reply.version != after.reply.version
    changed = await identity.call(
        calls.UPDATE_ORGANIZATION,
        tenant,
        {"name": "New"},
        path=path,
        if_match=f'"{before.reply.version}"',
    )
    assert changed.status == 200
