"""Refresh tokens: each works once, and an old one ends the session, whoever has it."""

import asyncio
from datetime import datetime

import pytest
from contracts import projects as project_calls
from contracts.context import Context
from identity.sessions import sessions
from outbox.record import record
from service.identity.client import IdentityClient
from support.owner import TRACE, Answer
from support.waiting import until


def _is_refused(reply: Answer) -> bool:
    return (reply.status, reply.body["code"]) == (401, "unauthenticated")


async def test_a_token_is_exchanged_for_the_next(client: IdentityClient) -> None:
    user = await client.create_user()
    created = await client.create_session(user)
    await client.age_session(created["session"]["id"], 1000)
    token = created["refresh_token"]
    for _ in range(3):
        refreshed = await client.refresh_session(token)
        assert refreshed.status == 200, refreshed.body
        assert set(refreshed.body) == {
            "access_token", "refresh_token", "token_type", "expires_in",
        }  # fmt: skip
        assert refreshed.body["refresh_token"] != token
        verified = await client.verify_session(refreshed.body["access_token"])
        assert verified["code"] == "valid"
        token = refreshed.body["refresh_token"]
    (session,) = (await client.get_user(user))["sessions"]
    assert session["last_active_at"] > created["session"]["last_active_at"]
    assert await client.revoked_sessions() == []


async def test_an_old_token_ends_the_session_for_whoever_has_the_new_one(
    client: IdentityClient,
) -> None:
    user = await client.create_user()
    first = await client.create_session(user)
    second = (await client.refresh_session(first["refresh_token"])).body
    third = (await client.refresh_session(second["refresh_token"])).body
    # Not only the one before: any that ever was.
    assert _is_refused(await client.refresh_session(first["refresh_token"]))
    assert _is_refused(await client.refresh_session(third["refresh_token"]))
    assert (await client.verify_session(third["access_token"]))["code"] == "revoked"
    assert (await client.get_user(user))["sessions"] == []
    session = first["session"]["id"]
    assert await client.revoked_sessions() == [(session, "refresh_token_reused")]
    revoked = (await client.events())[-1]
    assert (revoked["actortype"], revoked["data"]["user_id"]) == ("system", user)


async def test_of_five_at_once_one_wins_and_the_session_ends(client: IdentityClient) -> None:
    created = await client.create_session(await client.create_user())
    session = created["session"]["id"]

    async def all_are_waiting() -> bool:
        # Not on the connection of the transaction, which would see the same all the time.
        waiting = await client.pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE sessions%'"
        )
        return bool(waiting == 5)

    async with client.pool.acquire() as conn, conn.transaction():
        # Held until each has seen that its token is the newest.
        await conn.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", session)
        refreshing = [
            asyncio.create_task(client.refresh_session(created["refresh_token"])) for _ in range(5)
        ]
        await until(all_are_waiting)
    replies = await asyncio.gather(*refreshing)
    assert sorted(each.status for each in replies) == [200] + [401] * 4
    (won,) = [each.body for each in replies if each.status == 200]
    assert (await client.verify_session(won["access_token"]))["code"] == "revoked"
    assert await client.revoked_sessions() == [(session, "refresh_token_reused")]


async def test_a_repeat_with_its_key_is_no_reuse(client: IdentityClient) -> None:
    created = await client.create_session(await client.create_user())
    first, again = [
        await client.refresh_session(created["refresh_token"], key="1") for _ in range(2)
    ]
    assert first.status == 200
    assert first.reply.body == again.reply.body
    assert again.reply.headers["Idempotent-Replayed"] == "true"
    assert (await client.refresh_session(first.body["refresh_token"])).status == 200
    assert _is_refused(await client.refresh_session(created["refresh_token"], key="2"))
    assert len(await client.revoked_sessions()) == 1


async def test_strangers_with_the_same_key_do_not_meet(client: IdentityClient) -> None:
    one = await client.create_session(await client.create_user())
    two = await client.create_session(await client.create_user("bob@example.com"))
    replies = [await client.refresh_session(each["refresh_token"], key="1") for each in (one, two)]
    assert [each.status for each in replies] == [200, 200]


@pytest.mark.parametrize("token", ["", "x", "tnt_rt_" + "a" * 54, "tnt_rt_é" + "a" * 53])
async def test_what_is_not_a_token_is_refused_alike(client: IdentityClient, token: str) -> None:
    created = await client.create_session(await client.create_user())
    assert _is_refused(await client.refresh_session(token or created["access_token"]))
    assert (await client.refresh_session(created["refresh_token"])).status == 200


async def test_who_knows_the_session_alone_cannot_end_it(client: IdentityClient) -> None:
    """Its identifier stands in every access token; it is no part of a refresh token."""
    created = await client.create_session(await client.create_user())
    suffix = created["session"]["id"].removeprefix("ses_")
    assert suffix not in created["refresh_token"]
    assert _is_refused(await client.refresh_session(f"tnt_rt_{suffix}".ljust(61, "a")))
    assert await client.revoked_sessions() == []


async def test_an_idle_session_and_an_old_one_are_over(client: IdentityClient) -> None:
    user = await client.create_user()
    project = await client.create_project(session_idle_timeout=300, refresh_token_ttl=3600)
    idle = await client.create_session(user, project_id=project)
    await client.age_session(idle["session"]["id"], 301)
    assert _is_refused(await client.refresh_session(idle["refresh_token"]))
    assert (await client.verify_session(idle["access_token"]))["code"] == "expired"
    used = await client.create_session(user, project_id=project)
    token = used["refresh_token"]
    for _ in range(13):
        # Used every 290 seconds: never idle, and over after an hour all the same.
        await client.age_session(used["session"]["id"], 290)
        refreshed = await client.refresh_session(token)
        token = refreshed.body.get("refresh_token", token)
    assert _is_refused(refreshed)
    assert await client.revoked_sessions() == []


async def test_the_settings_at_its_creation_hold(client: IdentityClient) -> None:
    project = await client.create_project(session_idle_timeout=3600)
    created = await client.create_session(await client.create_user(), project_id=project)
    settings = {"session_idle_timeout": 300, "access_token_ttl": 60}
    await client.projects.call(
        project_calls.UPDATE_PROJECT, client.tenant, {"settings": settings}, path={"id": project}
    )
    refreshed = await client.refresh_session(created["refresh_token"])
    assert refreshed.body["expires_in"] == 60
    session = (await client.verify_session(refreshed.body["access_token"]))["session"]
    last_active_at, expires_at = (
        datetime.fromisoformat(session[name]) for name in ("last_active_at", "expires_at")
    )
    assert (expires_at - last_active_at).total_seconds() == 3600


async def test_a_revoked_session_is_not_refreshed(client: IdentityClient) -> None:
    user = await client.create_user()
    revoked, suspended = [await client.create_session(user) for _ in range(2)]
    assert (await client.revoke_session(user, revoked["session"]["id"])).status == 204
    assert _is_refused(await client.refresh_session(revoked["refresh_token"]))
    await client.update_user(user, status="suspended")
    assert _is_refused(await client.refresh_session(suspended["refresh_token"]))
    reasons = [reason for _, reason in await client.revoked_sessions()]
    assert reasons == ["revoked", "user_suspended"]


async def test_a_deleted_project_refreshes_nothing(client: IdentityClient) -> None:
    created = await client.create_session(await client.create_user())
    path = {"id": client.project}
    await client.projects.call(project_calls.DELETE_PROJECT, client.tenant, path=path)
    # Before identity consumes the event, and after.
    assert _is_refused(await client.refresh_session(created["refresh_token"]))
    context = Context(tenant_id=client.tenant, request_id="req_1", traceparent=TRACE)
    async with client.pool.acquire() as conn, conn.transaction():
        entries = await sessions.revoke_all_of_project(conn, context, client.project)
        await record(conn, entries)
    assert _is_refused(await client.refresh_session(created["refresh_token"]))
    assert await client.revoked_sessions() == [(created["session"]["id"], "project_deleted")]
