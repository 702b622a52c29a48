"""Calls to the projects service: no connection is held meanwhile; the database decides races."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from chassis.database import open_pool
from chassis.request import Reply
from chassis.rpc.client import unavailable
from contracts import invitations as invitation_calls
from contracts import sessions as session_calls
from contracts.calls import Call
from contracts.context import Context
from contracts.problems import Problem
from identity import projects_client
from identity.last_active import LastActive
from identity.projects_client import CallService, ProjectsClient
from identity.rpc import handlers
from service.identity.client import IdentityClient
from support.owner import TRACE, Answer, Owner


@dataclass
class SlowProjects:
    """The projects service, which answers only when it is told to."""

    call_projects: CallService
    resumed: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    count: int = 0

    async def __call__(self, call: Call, context: Context, body: bytes) -> Reply:
        self.count += 1
        self.arrived.release()
        await self.resumed.wait()
        return await self.call_projects(call, context, body)

    async def start(self, *requests: Coroutine[Any, Any, Answer]) -> list[asyncio.Task[Answer]]:
        """Sends the requests, and returns once each of them waits for projects."""
        tasks = [asyncio.create_task(each) for each in requests]
        async with asyncio.timeout(10):
            for _ in tasks:
                await self.arrived.acquire()
        return tasks

    async def finish(self, tasks: list[asyncio.Task[Answer]]) -> list[Answer]:
        """Lets projects answer."""
        self.resumed.set()
        async with asyncio.timeout(10):
            return await asyncio.gather(*tasks)


@pytest.fixture
def slow_projects(call_projects: CallService) -> SlowProjects:
    return SlowProjects(call_projects)


@pytest.fixture
async def slow_client(
    client: IdentityClient, slow_projects: SlowProjects
) -> AsyncIterator[IdentityClient]:
    """The client's tenant, by a process with one connection."""
    settings = client.identity.settings
    pool = await open_pool(settings.database_url, 1)
    owner = Owner(handlers(ProjectsClient(slow_projects), LastActive()), pool, settings)
    yield IdentityClient(owner, client.projects, client.tenant, client.project)
    pool.terminate()


@pytest.mark.parametrize("key", [None, "once"])
async def test_no_connection_is_held_while_projects_is_slow(
    client: IdentityClient,
    slow_client: IdentityClient,
    slow_projects: SlowProjects,
    key: str | None,
) -> None:
    user = await client.create_user()
    session = await client.create_session(user)
    invitation = await client.create_invitation(await client.create_organization(), email="b@c.de")
    tasks = await slow_projects.start(
        slow_client.sign_in(user, key=key),
        slow_client.refresh_session(session["refresh_token"], key=key),
        slow_client.call(session_calls.VERIFY_SESSION, {"token": session["access_token"]}),
        slow_client.call_anonymously(
            invitation_calls.ACCEPT_INVITATION, {"token": invitation["token"]}, idempotency_key=key
        ),
    )
    assert slow_client.pool.get_size() == slow_client.pool.get_idle_size() == 1
    async with asyncio.timeout(5):
        assert (await slow_client.get_user(user))["id"] == user
    replies = await slow_projects.finish(tasks)
    assert [each.status for each in replies] == [201, 200, 200, 200]
    assert replies[2].body["code"] == "valid"


async def test_a_user_who_is_suspended_meanwhile_gets_no_session(
    client: IdentityClient, slow_client: IdentityClient, slow_projects: SlowProjects
) -> None:
    user = await client.create_user()
    tasks = await slow_projects.start(slow_client.sign_in(user))
    await client.update_user(user, status="suspended")
    (refused,) = await slow_projects.finish(tasks)
    assert (refused.status, refused.body["code"]) == (409, "user_suspended")
    assert await client.event_types() == ["user.created", "user.suspended"]


async def test_a_session_that_is_revoked_meanwhile_is_not_refreshed(
    client: IdentityClient, slow_client: IdentityClient, slow_projects: SlowProjects
) -> None:
    user = await client.create_user()
    session = await client.create_session(user)
    tasks = await slow_projects.start(slow_client.refresh_session(session["refresh_token"]))
    await client.revoke_session(user, session["session"]["id"])
    (refused,) = await slow_projects.finish(tasks)
    assert refused.status == 401
    assert await client.revoked_sessions() == [(session["session"]["id"], "revoked")]


async def test_a_refresh_token_that_is_used_twice_at_once_revokes_the_session(
    client: IdentityClient, slow_client: IdentityClient, slow_projects: SlowProjects
) -> None:
    session = await client.create_session(await client.create_user())
    token = session["refresh_token"]
    tasks = await slow_projects.start(*(slow_client.refresh_session(token) for _ in range(2)))
    replies = await slow_projects.finish(tasks)
    assert sorted(each.status for each in replies) == [200, 401]
    assert await client.revoked_sessions() == [(session["session"]["id"], "refresh_token_reused")]


async def test_an_invitation_is_accepted_once(
    client: IdentityClient, slow_client: IdentityClient, slow_projects: SlowProjects
) -> None:
    token = (await client.create_invitation(await client.create_organization()))["token"]
    tasks = await slow_projects.start(*(slow_client.accept_invitation(token) for _ in range(2)))
    replies = await slow_projects.finish(tasks)
    assert sorted(each.status for each in replies) == [200, 410]
    assert (await client.event_types()).count("member.added") == 1


async def test_an_invitation_that_is_revoked_meanwhile_is_closed(
    client: IdentityClient, slow_client: IdentityClient, slow_projects: SlowProjects
) -> None:
    organization = await client.create_organization()
    invitation = await client.create_invitation(organization)
    tasks = await slow_projects.start(slow_client.accept_invitation(invitation["token"]))
    await client.call(invitation_calls.REVOKE_INVITATION, None, organization, invitation["id"])
    (refused,) = await slow_projects.finish(tasks)
    assert (refused.status, refused.body["code"]) == (410, "invitation_closed")
    assert "member.added" not in await client.event_types()


async def test_a_repeated_key_creates_one_session_and_signs_no_more(
    client: IdentityClient, slow_client: IdentityClient, slow_projects: SlowProjects
) -> None:
    user = await client.create_user()
    tasks = await slow_projects.start(*(slow_client.sign_in(user, key="once") for _ in range(2)))
    first, second = await slow_projects.finish(tasks)
    assert first.status == second.status == 201
    assert first.reply.body == second.reply.body
    signed = slow_projects.count
    again = await slow_client.sign_in(user, key="once")
    assert again.reply.body == first.reply.body
    assert again.reply.headers["Idempotent-Replayed"] == "true"
    assert slow_projects.count == signed
    assert len((await client.get_user(user))["sessions"]) == 1


async def test_while_projects_is_away_one_call_a_second_tries_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    fake_time = SimpleNamespace(monotonic=lambda: clock.now, time=time.time)
    monkeypatch.setattr(projects_client, "time", fake_time)
    context = Context(request_id="req_1", traceparent=TRACE, deadline=time.time() + 10)
    tries: list[asyncio.Future[Reply]] = []

    async def call_service(*_: Any) -> Reply:
        tries.append(asyncio.get_running_loop().create_future())
        return await tries[-1]

    projects = ProjectsClient(call_service)

    async def call() -> int:
        try:
            await projects.get_public_keys(context, "prj_1")
        except Problem as problem:
            return problem.status
        return 200

    async def start() -> asyncio.Task[int]:
        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        return task

    first = await start()
    tries[0].set_exception(unavailable("projects"))
    assert await first == 503
    assert (await call(), len(tries)) == (503, 1)  # refused at once
    clock.now += projects_client.RETRY_SECONDS
    second = await start()
    assert (await call(), len(tries)) == (503, 2)  # while the second try is under way
    tries[1].set_exception(unavailable("projects"))
    assert await second == 503
    clock.now += projects_client.RETRY_SECONDS
    third = await start()
    tries[2].set_result(Reply(status=404))
    assert await third == 200
    both = [await start() for _ in range(2)]
    assert len(tries) == 5  # it answers again: nobody is refused
    for each in tries[3:]:
        each.set_result(Reply(status=404))
    assert [await each for each in both] == [200, 200]
