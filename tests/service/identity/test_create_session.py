"""Creating sessions: what the token says, how long they live, and who gets none."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from contracts import sessions as calls
from contracts import signing_keys as signing_calls
from contracts.ids import new_id
from service.identity.client import IdentityClient


async def _claims(client: IdentityClient, token: str) -> dict[str, Any]:
    """What anybody reads with nothing but the public keys."""
    project = client.project
    key_set = await client.projects.call(signing_calls.GET_JWKS, None, path={"id": project})
    keys = {each["kid"]: jwt.PyJWK(each) for each in key_set.body["keys"]}
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, algorithms=[key.algorithm_name], audience=project, issuer=project
    )
    return dict(claims)


async def test_a_session_is_shown_with_its_tokens(client: IdentityClient) -> None:
    user = await client.create_user()
    created = await client.sign_in(user, ip_address="2001:DB8::1", user_agent="Mozilla/5.0")
    assert (created.status, created.reply.created) == (201, created.body["session"]["id"])
    session = created.body["session"]
    assert (session["ip_address"], session["user_agent"]) == ("2001:db8::1", "Mozilla/5.0")
    assert (session["status"], session["project_id"]) == ("active", client.project)
    assert (await client.get_user(user))["sessions"] == [session]
    event = (await client.events())[-1]
    assert (event["type"], event["subject"]) == ("session.created", session["id"])
    assert event["data"] == {"user_id": user, "session": session}


async def test_beyond_the_quota_the_oldest_session_is_revoked(client: IdentityClient) -> None:
    user = await client.create_user()
    await client.insert_session(user, hours=-1)
    await client.insert_session(user, status="revoked")
    sessions = [await client.insert_session(user) for _ in range(4)]
    quotas = {"sessions_per_user": 3}
    for key in (None, "once"):
        created = await client.call(
            *(calls.CREATE_SESSION, {"project_id": client.project}, user),
            quotas=quotas,
            idempotency_key=key,
        )
        assert created.status == 201
        sessions.append(created.body["session"]["id"])
    live = [each["id"] for each in (await client.get_user(user))["sessions"]]
    assert live == sessions[:-4:-1]
    assert await client.revoked_sessions() == [(each, "revoked") for each in sessions[:3]]


async def test_the_token_names_the_user_the_session_and_its_end(client: IdentityClient) -> None:
    user = await client.create_user()
    created = await client.create_session(user)
    claims = await _claims(client, created["access_token"])
    assert set(claims) == {"iss", "sub", "sid", "tid", "pid", "aud", "iat", "exp", "jti"}
    assert (claims["sub"], claims["tid"]) == (user, client.tenant)
    assert claims["sid"] == created["session"]["id"]
    assert {claims[name] for name in ("iss", "aud", "pid")} == {client.project}
    assert claims["exp"] - claims["iat"] == created["expires_in"] == 900
    other = await _claims(client, (await client.create_session(user))["access_token"])
    assert other["jti"] != claims["jti"]


async def test_an_organization_is_named_with_the_role_in_it(client: IdentityClient) -> None:
    user, other = await client.create_user(), await client.create_user("bob@example.com")
    organization = await client.create_organization(owner_id=user)
    created = await client.create_session(user, organization_id=organization)
    claims = await _claims(client, created["access_token"])
    assert (claims["org_id"], claims["role"]) == (organization, "owner")
    await client.add_member(organization, other, role="owner")
    await client.update_member(organization, user, role="admin")
    refreshed = await client.refresh_session(created["refresh_token"])
    assert (await _claims(client, refreshed.body["access_token"]))["role"] == "admin"
    await client.remove_member(organization, user)
    refreshed = await client.refresh_session(refreshed.body["refresh_token"])
    assert "org_id" not in await _claims(client, refreshed.body["access_token"])


async def test_it_lives_as_long_as_the_project_says_at_its_creation(
    client: IdentityClient,
) -> None:
    user = await client.create_user()
    for settings, seconds in (
        ({"refresh_token_ttl": 3600}, 3600),
        ({"session_idle_timeout": 300}, 300),
        ({"session_idle_timeout": 7200, "refresh_token_ttl": 3600}, 3600),
        ({}, 604_800),
    ):
        project = await client.create_project(access_token_ttl=60, **settings)
        created = await client.create_session(user, project_id=project)
        created_at, expires_at = (
            datetime.fromisoformat(created["session"][name])
            for name in ("created_at", "expires_at")
        )
        lifetime = expires_at - created_at
        assert (created["expires_in"], lifetime) == (60, timedelta(seconds=seconds))


async def test_a_sign_in_does_not_change_the_users_version(client: IdentityClient) -> None:
    never, user = await client.create_user("never@example.com"), await client.create_user()
    before = datetime.now(UTC)
    await client.create_session(user)
    found = await client.get_user(user)
    assert found["version"] == 1
    assert before <= datetime.fromisoformat(found["last_sign_in_at"]) <= datetime.now(UTC)
    listed = await client.list_users(sort="-last_sign_in_at")
    assert [each["id"] for each in listed["users"]] == [user, never]
    assert await client.event_types() == ["user.created", "user.created", "session.created"]


async def test_a_refusal_says_why(client: IdentityClient) -> None:
    user = await client.create_user(status="suspended")
    refused = await client.sign_in(user)
    assert (refused.status, refused.body["code"]) == (409, "user_suspended")
    assert (await client.get_user(user))["last_sign_in_at"] is None
    assert (await client.sign_in(new_id("usr"))).status == 404
    active = await client.create_user("bob@example.com")
    other = await client.create_user("eve@example.com")
    for wrong in (
        {"project_id": new_id("prj")},
        {"project_id": "prj_nonsense"},
        {"organization_id": new_id("org")},
        {"organization_id": await client.create_organization(owner_id=other)},
        {"ip_address": "somewhere"},
        {"user_agent": "a\0b"},
    ):
        refused = await client.sign_in(active, **wrong)
        assert (refused.status, refused.body["code"]) == (422, "validation_failed")
        assert [each["field"] for each in refused.body["errors"]] == list(wrong)
    assert (await client.get_user(active))["sessions"] == []


async def test_nobody_signs_in_while_being_suspended(client: IdentityClient) -> None:
    """Whichever comes first: no live session is left."""
    for number in range(5):
        user = await client.create_user(f"u{number}@example.com")
        *replies, _ = await asyncio.gather(
            *(client.sign_in(user) for _ in range(4)), client.update_user(user, status="suspended")
        )
        assert {each.status for each in replies} <= {201, 409}
        assert (await client.get_user(user))["sessions"] == []


async def test_a_repeated_key_creates_no_second_session(client: IdentityClient) -> None:
    user = await client.create_user()
    first, again = [await client.sign_in(user, key="once") for _ in range(2)]
    assert first.status == 201
    assert first.reply.body == again.reply.body
    assert len((await client.get_user(user))["sessions"]) == 1


async def test_a_suspended_tenant_gets_no_token(client: IdentityClient) -> None:
    user = await client.create_user()
    created = await client.create_session(user)
    await client.suspend_tenant()
    for refused in (
        await client.sign_in(user),
        await client.refresh_session(created["refresh_token"]),
    ):
        assert (refused.status, refused.body["code"]) == (403, "tenant_suspended")


@pytest.mark.parametrize("name", ["refresh_token", "access_token"])
async def test_no_token_is_stored_or_in_an_event(client: IdentityClient, name: str) -> None:
    created = await client.create_session(await client.create_user())
    rows = await client.pool.fetch("SELECT sessions::text AS row FROM sessions")
    assert not any(created[name] in row["row"] for row in rows)
    assert not any(created[name] in str(each) for each in await client.events())
    assert set(created["session"]) == set(calls.Session.model_fields)
