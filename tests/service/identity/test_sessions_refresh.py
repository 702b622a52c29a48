"""Refresh tokens: each works once, and an old one ends the session, whoever has it."""

import asyncio
from datetime import datetime

import pytest
from contracts import projects as project_calls
from contracts.context import Context
from contracts.sessions import SessionTokens
from identity import sessions
from outbox.record import record
from service.identity.people import People
from support.owner import TRACE, Answer
from support.waiting import until


def _is_refused(answer: Answer) -> bool:
    return (answer.status, answer.body["code"]) == (401, "unauthenticated")


async def test_a_token_is_exchanged_for_the_next(people: People) -> None:
    user = await people.new_user()
    begun = await people.session(user)
    await people.set_back(begun["session"]["id"], 1000)
    token = begun["refresh_token"]
    for _ in range(3):
        answer = await people.refresh(token)
        assert answer.status == 200, answer.body
        SessionTokens.model_validate(answer.body)
        assert answer.body["refresh_token"] != token
        assert (await people.verify(answer.body["access_token"]))["code"] == "valid"
        token = answer.body["refresh_token"]
    (session,) = (await people.found(user))["sessions"]
    assert session["last_active_at"] > begun["session"]["last_active_at"]
    assert await people.ended() == []


async def test_an_old_token_ends_the_session_for_whoever_has_the_new_one(people: People) -> None:
    user = await people.new_user()
    first = await people.session(user)
    second = (await people.refresh(first["refresh_token"])).body
    third = (await people.refresh(second["refresh_token"])).body
    # Not only the one before: any that ever was.
    assert _is_refused(await people.refresh(first["refresh_token"]))
    assert _is_refused(await people.refresh(third["refresh_token"]))
    assert (await people.verify(third["access_token"]))["code"] == "revoked"
    assert (await people.found(user))["sessions"] == []
    assert await people.ended() == [(first["session"]["id"], "refresh_token_reused")]
    revoked = (await people.identity.events(people.tenant))[-1]
    assert (revoked["actortype"], revoked["data"]["user_id"]) == ("system", user)


async def test_of_five_at_once_one_wins_and_the_session_ends(people: People) -> None:
    begun = await people.session(await people.new_user())
    pool = people.identity.pool

    async def all_want_to_write() -> bool:
        # Not on the connection of the transaction, which would see the same all the time.
        waiting = await pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE sessions%'"
        )
        return bool(waiting == 5)

    async with pool.acquire() as conn, conn.transaction():
        # Held until each has seen its token to be the newest.
        await conn.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", begun["session"]["id"])
        asked = [asyncio.create_task(people.refresh(begun["refresh_token"])) for _ in range(5)]
        await until(all_want_to_write)
    answers = await asyncio.gather(*asked)
    assert sorted(each.status for each in answers) == [200] + [401] * 4
    (won,) = [each.body for each in answers if each.status == 200]
    assert (await people.verify(won["access_token"]))["code"] == "revoked"
    assert await people.ended() == [(begun["session"]["id"], "refresh_token_reused")]


async def test_a_repeat_with_its_key_is_no_reuse(people: People) -> None:
    begun = await people.session(await people.new_user())
    first = await people.refresh(begun["refresh_token"], key="1")
    again = await people.refresh(begun["refresh_token"], key="1")
    assert first.status == 200
    assert first.reply.body == again.reply.body
    assert again.reply.headers["Idempotent-Replayed"] == "true"
    assert (await people.refresh(first.body["refresh_token"])).status == 200
    assert _is_refused(await people.refresh(begun["refresh_token"], key="2"))
    assert len(await people.ended()) == 1


async def test_strangers_with_the_same_key_do_not_meet(people: People) -> None:
    one = await people.session(await people.new_user())
    two = await people.session(await people.new_user("bob@example.com"))
    answers = [await people.refresh(each["refresh_token"], key="1") for each in (one, two)]
    assert [each.status for each in answers] == [200, 200]


@pytest.mark.parametrize("change", ["", "x", "tnt_rt_" + "a" * 54, "tnt_rt_é" + "a" * 53])
async def test_what_is_no_token_is_refused_alike(people: People, change: str) -> None:
    begun = await people.session(await people.new_user())
    answer = await people.refresh(change or begun["access_token"])
    assert _is_refused(answer)
    assert (await people.refresh(begun["refresh_token"])).status == 200


async def test_who_knows_the_session_alone_cannot_end_it(people: People) -> None:
    """Its identifier stands in every access token; it is no part of a refresh token."""
    begun = await people.session(await people.new_user())
    suffix = begun["session"]["id"].removeprefix("ses_")
    assert suffix not in begun["refresh_token"]
    assert _is_refused(await people.refresh(f"tnt_rt_{suffix}".ljust(61, "a")))
    assert await people.ended() == []


async def test_an_idle_session_and_an_old_one_are_over(people: People) -> None:
    user = await people.new_user()
    project = await people.new_project(session_idle_timeout=300, refresh_token_ttl=3600)
    idle = await people.session(user, project_id=project)
    await people.set_back(idle["session"]["id"], 301)
    assert _is_refused(await people.refresh(idle["refresh_token"]))
    assert (await people.verify(idle["access_token"]))["code"] == "expired"
    used = await people.session(user, project_id=project)
    token = used["refresh_token"]
    for _ in range(13):
        # Used every 290 seconds: never idle, and over after an hour all the same.
        await people.set_back(used["session"]["id"], 290)
        answer = await people.refresh(token)
        token = answer.body.get("refresh_token", token)
    assert _is_refused(answer)
    assert await people.ended() == []


async def test_the_settings_of_its_beginning_hold(people: People) -> None:
    project = await people.new_project(session_idle_timeout=3600)
    begun = await people.session(await people.new_user(), project_id=project)
    await people.projects.call(
        project_calls.UPDATE_PROJECT,
        people.tenant,
        {"settings": {"session_idle_timeout": 300, "access_token_ttl": 60}},
        path={"id": project},
    )
    refreshed = await people.refresh(begun["refresh_token"])
    assert refreshed.body["expires_in"] == 60
    session = (await people.verify(refreshed.body["access_token"]))["session"]
    active, expires = (
        datetime.fromisoformat(session[name]) for name in ("last_active_at", "expires_at")
    )
    assert (expires - active).total_seconds() == 3600


async def test_nothing_is_refreshed_that_was_revoked(people: People) -> None:
    user = await people.new_user()
    begun, other = await people.session(user), await people.session(user)
    await people.end(user, begun["session"]["id"])
    assert _is_refused(await people.refresh(begun["refresh_token"]))
    await people.change(user, status="suspended")
    assert _is_refused(await people.refresh(other["refresh_token"]))
    reasons = [reason for _, reason in await people.ended()]
    assert reasons == ["revoked", "user_suspended"]


async def test_a_deleted_project_refreshes_nothing(people: People) -> None:
    begun = await people.session(await people.new_user())
    path = {"id": people.project}
    await people.projects.call(project_calls.DELETE_PROJECT, people.tenant, path=path)
    # Before identity hears of it, and after.
    assert _is_refused(await people.refresh(begun["refresh_token"]))
    context = Context(request_id="req_1", traceparent=TRACE)
    async with people.identity.pool.acquire() as conn, conn.transaction():
        ended = await sessions.revoked_of_project(conn, context, people.tenant, people.project)
        await record(conn, ended)
    assert _is_refused(await people.refresh(begun["refresh_token"]))
    assert await people.ended() == [(begun["session"]["id"], "project_deleted")]
