"""Sessions begin: what the token says, how long they live, and who has none."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from contracts import members as organization_calls
from contracts import sessions as calls
from contracts import signing_keys as signing_calls
from contracts import users as user_calls
from contracts.ids import new_id
from contracts.sessions import IssuedSession
from service.identity.people import People, suspend


async def _claims(people: People, token: str, project: str | None = None) -> dict[str, Any]:
    """What anybody reads with nothing but the public keys."""
    project = project or people.project
    found = await people.projects.call(signing_calls.GET_JWKS, None, path={"id": project})
    keys = {each["kid"]: jwt.PyJWK(each) for each in found.body["keys"]}
    key = keys[jwt.get_unverified_header(token)["kid"]]
    read = jwt.decode(token, key, algorithms=[key.algorithm_name], audience=project, issuer=project)
    return dict(read)


async def test_a_session_is_shown_with_its_tokens(people: People) -> None:
    user = await people.new_user()
    answer = await people.sign_in(user, ip_address="2001:DB8::1", user_agent="Mozilla/5.0")
    assert (answer.status, answer.reply.created) == (201, answer.body["session"]["id"])
    IssuedSession.model_validate_json(answer.reply.body)
    session = answer.body["session"]
    assert (session["ip_address"], session["user_agent"]) == ("2001:db8::1", "Mozilla/5.0")
    assert (session["status"], session["project_id"]) == ("active", people.project)
    found = await people.found(user)
    assert found["sessions"] == [session]
    created = (await people.identity.events(people.tenant))[-1]
    assert (created["type"], created["subject"]) == ("session.created", session["id"])
    assert created["data"] == {"user_id": user, "session": session}


async def test_the_token_says_who_where_and_until_when(people: People) -> None:
    user = await people.new_user()
    begun = await people.session(user)
    claims = await _claims(people, begun["access_token"])
    assert set(claims) == {"iss", "sub", "sid", "tid", "pid", "aud", "iat", "exp", "jti"}
    assert (claims["sub"], claims["tid"]) == (user, people.tenant)
    assert claims["sid"] == begun["session"]["id"]
    assert {claims[name] for name in ("iss", "aud", "pid")} == {people.project}
    assert claims["exp"] - claims["iat"] == begun["expires_in"] == 900
    other = await _claims(people, (await people.session(user))["access_token"])
    assert other["jti"] != claims["jti"]


async def test_an_organization_is_named_with_the_role_in_it(people: People) -> None:
    user, other = await people.new_user(), await people.new_user("bob@example.com")
    organization = await people.new_organization(user)
    begun = await people.session(user, organization_id=organization)
    claims = await _claims(people, begun["access_token"])
    assert (claims["org_id"], claims["role"]) == (organization, "owner")
    path = {"id": organization, "user_id": user}
    await people.identity.call(
        organization_calls.ADD_MEMBER, people.tenant,
        {"user_id": other, "role": "owner"}, path={"id": organization},
    )  # fmt: skip
    await people.identity.call(
        organization_calls.UPDATE_MEMBER, people.tenant, {"role": "admin"}, path=path
    )
    refreshed = await people.refresh(begun["refresh_token"])
    assert (await _claims(people, refreshed.body["access_token"]))["role"] == "admin"
    await people.identity.call(organization_calls.REMOVE_MEMBER, people.tenant, path=path)
    refreshed = await people.refresh(refreshed.body["refresh_token"])
    assert "org_id" not in await _claims(people, refreshed.body["access_token"])


async def test_its_life_is_as_the_project_says_at_its_beginning(people: People) -> None:
    user = await people.new_user()
    for settings, seconds in (
        ({"refresh_token_ttl": 3600}, 3600),
        ({"session_idle_timeout": 300}, 300),
        ({"session_idle_timeout": 7200, "refresh_token_ttl": 3600}, 3600),
        ({}, 604_800),
    ):
        project = await people.new_project(access_token_ttl=60, **settings)
        begun = await people.session(user, project_id=project)
        created, expires = (
            datetime.fromisoformat(begun["session"][name]) for name in ("created_at", "expires_at")
        )
        assert (begun["expires_in"], expires - created) == (60, timedelta(seconds=seconds))


async def test_a_sign_in_is_no_change_of_the_user(people: People) -> None:
    never, user = await people.new_user("never@example.com"), await people.new_user()
    before = datetime.now(UTC)
    await people.session(user)
    found = await people.found(user)
    assert found["version"] == 1
    assert before <= datetime.fromisoformat(found["last_sign_in_at"]) <= datetime.now(UTC)
    listed = await people.identity.call(
        user_calls.LIST_USERS, people.tenant, query={"sort": "-last_sign_in_at"}
    )
    assert [each["id"] for each in listed.body["users"]] == [user, never]
    types = [each["type"] for each in await people.identity.events(people.tenant)]
    assert types == ["user.created", "user.created", "session.created"]


async def test_who_may_not_sign_in_is_told_why(people: People) -> None:
    user = await people.new_user(status="suspended")
    refused = await people.sign_in(user)
    assert (refused.status, refused.body["code"]) == (409, "user_suspended")
    assert (await people.found(user))["last_sign_in_at"] is None
    assert (await people.sign_in(new_id("usr"))).status == 404
    active = await people.new_user("bob@example.com")
    elsewhere = await people.new_organization(await people.new_user("eve@example.com"))
    for wrong in (
        {"project_id": new_id("prj")},
        {"project_id": "prj_nonsense"},
        {"organization_id": new_id("org")},
        {"organization_id": elsewhere},
        {"ip_address": "somewhere"},
        {"user_agent": "a\0b"},
    ):
        answer = await people.sign_in(active, **wrong)
        assert (answer.status, answer.body["code"]) == (422, "validation_failed")
        assert [each["field"] for each in answer.body["errors"]] == list(wrong)
    assert (await people.found(active))["sessions"] == []


async def test_nobody_signs_in_while_being_suspended(people: People) -> None:
    """Whichever comes first: no live session is left."""
    for number in range(5):
        user = await people.new_user(f"u{number}@example.com")
        answers = await asyncio.gather(
            *(people.sign_in(user) for _ in range(4)), people.change(user, status="suspended")
        )
        assert {each.status for each in answers[:4] if each} <= {201, 409}
        assert (await people.found(user))["sessions"] == []


async def test_a_repeat_begins_no_second_session(people: People) -> None:
    user = await people.new_user()
    first, again = await people.sign_in(user, key="once"), await people.sign_in(user, key="once")
    assert first.status == 201
    assert first.reply.body == again.reply.body
    assert len((await people.found(user))["sessions"]) == 1


async def test_a_suspended_tenant_gets_no_token(people: People) -> None:
    user = await people.new_user()
    begun = await people.session(user)
    await suspend(people.projects, people.tenant)
    for answer in (await people.sign_in(user), await people.refresh(begun["refresh_token"])):
        assert (answer.status, answer.body["code"]) == (403, "tenant_suspended")


@pytest.mark.parametrize("text", ["refresh_token", "access_token"])
async def test_no_token_is_stored_or_told(people: People, text: str) -> None:
    begun = await people.session(await people.new_user())
    rows = await people.identity.pool.fetch("SELECT sessions::text AS row FROM sessions")
    assert not any(begun[text] in row["row"] for row in rows)
    assert not any(begun[text] in str(each) for each in await people.identity.events(people.tenant))
    assert set(begun["session"]) == set(calls.Session.model_fields)
