"""Users and their sessions, asked of identity alone."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import members
from contracts import organizations as organization_calls
from contracts import sessions as session_calls
from contracts import users as calls
from contracts.context import Context
from contracts.ids import new_id
from identity import sessions
from outbox.record import record
from support.owner import TRACE, Owner


async def _user(identity: Owner, tenant: str, email: str, **fields: Any) -> str:
    made = await identity.call(calls.CREATE_USER, tenant, {"email": email, **fields})
    assert made.status == 201, made.body
    return made.body["id"]


async def _session(
    identity: Owner,
    tenant: str,
    user: str,
    *,
    project: str | None = None,
    status: str = "active",
    hours: int = 1,
) -> str:
    session, now = new_id("ses"), datetime.now(UTC)
    await identity.pool.execute(
        "INSERT INTO sessions (tenant_id, id, user_id, project_id, status, created_at,"
        " last_active_at, expires_at, ends_at, idle_timeout)"
        " VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $7, 604800)",
        *(tenant, session, user, project or new_id("prj"), status),
        *(now, now + timedelta(hours=hours)),
    )
    return session


async def _organization(identity: Owner, tenant: str, owner: str, slug: str) -> str:
    body = {"name": "Acme", "slug": slug, "owner_id": owner}
    made = await identity.call(organization_calls.CREATE_ORGANIZATION, tenant, body)
    assert made.status == 201, made.body
    return made.body["id"]


async def _join(identity: Owner, tenant: str, organization: str, user: str, role: str) -> None:
    body, path = {"user_id": user, "role": role}, {"id": organization}
    added = await identity.call(members.ADD_MEMBER, tenant, body, path=path)
    assert added.status == 201, added.body


async def _found(identity: Owner, tenant: str, user: str) -> Any:
    return (await identity.call(calls.GET_USER, tenant, path={"id": user})).body


async def _listed(identity: Owner, tenant: str, **query: Any) -> list[str]:
    found = await identity.call(calls.LIST_USERS, tenant, query=query)
    assert found.status == 200, found.body
    assert found.body["pagination"]["total"] == len(found.body["users"])
    return [each["id"] for each in found.body["users"]]


async def _types(identity: Owner, tenant: str) -> list[str]:
    return [each["type"] for each in await identity.events(tenant)]


async def test_a_new_user_is_found_again(identity: Owner, tenant: str) -> None:
    body = {"email": "Ada@Example.com", "name": "Ada", "metadata": {"plan": "pro"}}
    made = await identity.call(calls.CREATE_USER, tenant, body)
    assert (made.status, made.reply.created) == (201, made.body["id"])
    assert set(made.body) == set(calls.User.model_fields)
    found = await _found(identity, tenant, made.body["id"])
    assert found == {**made.body, "sessions": [], "organizations": []}
    (created,) = await identity.events(tenant)
    assert (created["type"], created["data"]) == ("user.created", {"user": made.body})
    elsewhere = await identity.call(calls.GET_USER, new_id("ten"), path={"id": made.body["id"]})
    assert elsewhere.status == 404


async def test_what_is_unique_is_refused_on_creation_and_change(
    identity: Owner, tenant: str
) -> None:
    await _user(identity, tenant, "ada@example.com", username="ada", external_id="x1")
    other = await _user(identity, tenant, "bob@example.com")
    for field, value in (
        ("email", "ADA@example.com"),
        ("username", "ADA"),
        ("external_id", "x1"),
    ):
        body = {"email": "new@example.com", field: value}
        made = await identity.call(calls.CREATE_USER, tenant, body)
        patched = await identity.call(calls.UPDATE_USER, tenant, {field: value}, path={"id": other})
        assert [made.status, patched.status] == [409, 409]
        assert [made.body["code"], patched.body["code"]] == [f"{field}_taken"] * 2
    await _user(identity, new_id("ten"), "ada@example.com", username="ada", external_id="x1")
    assert await _types(identity, tenant) == ["user.created"] * 2


async def test_of_ten_at_once_with_one_email_one_is_created(identity: Owner, tenant: str) -> None:
    answers = await asyncio.gather(
        *(identity.call(calls.CREATE_USER, tenant, {"email": "ada@example.com"}) for _ in range(10))
    )
    assert sorted(each.status for each in answers) == [201] + [409] * 9
    assert {each.body.get("code") for each in answers if each.status == 409} == {"email_taken"}
    assert await _types(identity, tenant) == ["user.created"]


async def test_a_user_is_shown_with_live_sessions_and_organizations(
    identity: Owner, tenant: str
) -> None:
    user = await _user(identity, tenant, "ada@example.com")
    organization = await _organization(identity, tenant, user, "acme")
    path = {"id": user}
    before = await identity.call(calls.GET_USER, tenant, path=path)
    older = await _session(identity, tenant, user)
    newer = await _session(identity, tenant, user)
    await _session(identity, tenant, user, status="revoked")
    await _session(identity, tenant, user, hours=-1)
    after = await identity.call(calls.GET_USER, tenant, path=path)
    assert [each["id"] for each in after.body["sessions"]] == [newer, older]
    assert set(after.body["sessions"][0]) == set(session_calls.Session.model_fields)
    (joined,) = after.body["organizations"]
    assert set(joined) == set(calls.UserOrganization.model_fields)
    assert (joined["id"], joined["slug"], joined["role"]) == (organization, "acme", "owner")
    assert before.reply.version != after.reply.version
    assert {str(each.reply.version).split(".")[0] for each in (before, after)} == {"1"}
    for _ in range(100):
        last = await _session(identity, tenant, user)
    many = (await _found(identity, tenant, user))["sessions"]
    assert (len(many), many[0]["id"]) == (100, last)


async def test_a_change_has_one_event_and_no_change_has_none(identity: Owner, tenant: str) -> None:
    user = await _user(identity, tenant, "ada@example.com", metadata={"a": 1, "b": {"c": 2}})
    path = {"id": user}
    patch = {"name": "Ada", "metadata": {"a": None, "b": {"d": 3}}}
    changed = await identity.call(calls.UPDATE_USER, tenant, patch, path=path)
    assert (changed.status, changed.body["version"]) == (200, 2)
    assert changed.body["metadata"] == {"b": {"c": 2, "d": 3}}
    last = (await identity.events(tenant))[-1]
    assert (last["type"], last["data"]["user"]) == ("user.updated", changed.body)
    assert set(last["data"]["changes"]) == {"name", "metadata"}
    for same in ({}, {"name": "Ada"}):
        answer = await identity.call(calls.UPDATE_USER, tenant, same, path=path)
        assert answer.body == changed.body
    assert await _types(identity, tenant) == ["user.created", "user.updated"]


async def test_an_old_version_is_refused_and_the_etag_of_a_read_is_not(
    identity: Owner, tenant: str
) -> None:
    path = {"id": await _user(identity, tenant, "ada@example.com")}
    read = await identity.call(calls.GET_USER, tenant, path=path)
    old = f'"{read.reply.version}"'
    changed = await identity.call(calls.UPDATE_USER, tenant, {"name": "A"}, path=path, if_match=old)
    assert changed.status == 200
    late = [
        await identity.call(calls.UPDATE_USER, tenant, {"name": "B"}, path=path, if_match=old),
        await identity.call(calls.DELETE_USER, tenant, path=path, if_match=old),
        await identity.call(
            calls.DELETE_USER, tenant, path=path, query={"dry_run": "true"}, if_match=old
        ),
    ]
    assert [each.status for each in late] == [412] * 3


async def test_suspension_revokes_every_live_session(identity: Owner, tenant: str) -> None:
    user = await _user(identity, tenant, "ada@example.com")
    other = await _user(identity, tenant, "bob@example.com")
    live = [await _session(identity, tenant, user) for _ in range(2)]
    await _session(identity, tenant, user, hours=-1)
    kept = await _session(identity, tenant, other)
    path = {"id": user}
    await identity.call(calls.UPDATE_USER, tenant, {"status": "suspended", "name": "A"}, path=path)
    assert (await _found(identity, tenant, user))["sessions"] == []
    assert [each["id"] for each in (await _found(identity, tenant, other))["sessions"]] == [kept]
    suspended, *revoked = (await identity.events(tenant))[2:]
    assert suspended["type"] == "user.suspended"
    assert set(suspended["data"]["changes"]) == {"status", "name"}
    assert [(each["type"], each["data"]) for each in revoked] == [
        ("session.revoked", {"user_id": user, "session_id": each, "reason": "user_suspended"})
        for each in live
    ]
    await identity.call(calls.UPDATE_USER, tenant, {"status": "active"}, path=path)
    assert (await _types(identity, tenant))[-1] == "user.reactivated"
    assert (await _found(identity, tenant, user))["sessions"] == []


async def test_sessions_are_revoked_one_or_all_and_only_once(identity: Owner, tenant: str) -> None:
    user = await _user(identity, tenant, "ada@example.com")
    one, two, three = [await _session(identity, tenant, user) for _ in range(3)]
    path = {"id": user}
    for status in (204, 404):
        ended = await identity.call(session_calls.REVOKE_SESSION, tenant, path={**path, "sid": one})
        assert ended.status == status
    foreign = await identity.call(
        session_calls.REVOKE_SESSION, new_id("ten"), path={**path, "sid": two}
    )
    assert foreign.status == 404
    for _ in range(2):
        assert (await identity.call(session_calls.REVOKE_SESSIONS, tenant, path=path)).status == 204
    nobody = await identity.call(session_calls.REVOKE_SESSIONS, tenant, path={"id": new_id("usr")})
    assert nobody.status == 404
    revoked = (await identity.events(tenant))[1:]
    assert [each["subject"] for each in revoked] == [one, two, three]
    assert {each["data"]["reason"] for each in revoked} == {"revoked"}


async def test_a_project_takes_its_live_sessions_with_it(identity: Owner, tenant: str) -> None:
    user, project = await _user(identity, tenant, "ada@example.com"), new_id("prj")
    gone = await _session(identity, tenant, user, project=project)
    await _session(identity, tenant, user, project=project, hours=-1)
    kept = await _session(identity, tenant, user)
    # The operator's context names no tenant.
    context = Context(actor_type="system", request_id=new_id("req"), traceparent=TRACE)
    async with identity.pool.acquire() as conn, conn.transaction():
        events = await sessions.revoked_of_project(conn, context, tenant, project)
        await record(conn, events)
    assert [each["id"] for each in (await _found(identity, tenant, user))["sessions"]] == [kept]
    last = (await identity.events(tenant))[-1]
    data = {"user_id": user, "session_id": gone, "reason": "project_deleted"}
    assert (last["type"], last["data"], len(events)) == ("session.revoked", data, 1)


async def test_a_deleted_user_leaves_only_the_identifier(identity: Owner, tenant: str) -> None:
    owner = await _user(identity, tenant, "ada@example.com")
    user = await _user(identity, tenant, "bob@example.com")
    organizations = [await _organization(identity, tenant, owner, f"o{each}") for each in range(2)]
    for organization in organizations:
        await _join(identity, tenant, organization, user, "member")
    session = await _session(identity, tenant, user)
    before, path = await _types(identity, tenant), {"id": user}
    dry = await identity.call(calls.DELETE_USER, tenant, path=path, query={"dry_run": "true"})
    would = dry.body["would_delete"]
    assert (dry.status, would["memberships"], would["sessions"]) == (200, 2, 1)
    assert await _types(identity, tenant) == before
    assert (await identity.call(calls.DELETE_USER, tenant, path=path)).status == 204
    assert (await identity.call(calls.DELETE_USER, tenant, path=path)).status == 404
    events = (await identity.events(tenant))[len(before) :]
    assert [each["type"] for each in events] == [
        *["member.removed"] * 2,
        "session.revoked",
        "user.deleted",
    ]
    assert {each["data"]["organization_id"] for each in events[:2]} == set(organizations)
    assert (events[2]["subject"], events[2]["data"]["reason"]) == (session, "user_deleted")
    assert events[3]["data"] == {"user_id": user}
    for organization in organizations:
        found = await identity.call(
            organization_calls.GET_ORGANIZATION, tenant, path={"id": organization}
        )
        assert found.body["member_count"] == 1


async def test_the_last_owner_is_deleted_only_by_force(identity: Owner, tenant: str) -> None:
    owner = await _user(identity, tenant, "ada@example.com")
    other = await _user(identity, tenant, "bob@example.com")
    organization = await _organization(identity, tenant, owner, "acme")
    await _join(identity, tenant, organization, other, "admin")
    path, before = {"id": owner}, await _types(identity, tenant)
    refused = await identity.call(calls.DELETE_USER, tenant, path=path)
    assert (refused.status, refused.body["code"]) == (409, "last_owner")
    assert await _types(identity, tenant) == before
    forced = await identity.call(calls.DELETE_USER, tenant, path=path, query={"force": "true"})
    assert forced.status == 204
    assert (await _found(identity, tenant, other))["organizations"][0]["id"] == organization


async def test_two_owners_deleted_at_once_leave_one(identity: Owner, tenant: str) -> None:
    for number in range(5):
        owners = [await _user(identity, tenant, f"{each}{number}@example.com") for each in "ab"]
        organization = await _organization(identity, tenant, owners[0], f"o{number}")
        await _join(identity, tenant, organization, owners[1], "owner")
        answers = await asyncio.gather(
            *(identity.call(calls.DELETE_USER, tenant, path={"id": owner}) for owner in owners)
        )
        assert sorted(each.status for each in answers) == [204, 409]
