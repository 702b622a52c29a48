"""`tenantry webhooks listen`: events reach a local receiver, signed, in order, and none is lost."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from contracts.events import Event
from contracts.users import UserCreated, UserUpdated
from standardwebhooks import Webhook
from support.api import Api
from support.stack import Stack, tenantry
from support.waiting import until
from support.webhook_receiver import Receiver, webhook_receiver
from tenantry.servers.ports import free_ports


class Listening:
    """A run of the command: what it says first, and how it ends."""

    def __init__(self, process: asyncio.subprocess.Process, first: dict[str, Any]) -> None:
        self.process = process
        self.first = first

    async def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = await asyncio.wait_for(self.process.communicate(), 30)
        return self.process.returncode or 0, err.decode()


@asynccontextmanager
async def listening(api: Api, url: str, *arguments: str) -> AsyncIterator[Listening]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tenantry", "webhooks", "listen", "--json", *arguments),
        *("--forward-to", url),
        env={**os.environ, "TENANTRY_URL": api.url, "TENANTRY_API_KEY": str(api.key)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield Listening(process, json.loads(line))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def make_user(api: Api, name: str) -> str:
    made = await api("POST", "/v1/admin/users", {"email": f"{name}@example.com"})
    assert made.status == 201, made.raw
    return str(made.body["id"])


async def verified(receiver: Receiver, secret: str, count: int) -> list[Event]:
    """The first events that came, each of them once, as the public verifier takes them."""

    async def came() -> bool:
        return len({each.headers["webhook-id"] for each in receiver.received}) >= count

    await until(came, 30)
    found = {}
    for each in receiver.received:
        Webhook(secret).verify(each.body.decode(), each.headers)
        event = Event.model_validate_json(each.body)
        assert event.id == each.headers["webhook-id"]
        found[event.id] = event
    return list(found.values())


async def test_events_arrive_signed_with_what_has_changed(api: Api) -> None:
    # The events of a tenant that is new may still come.
    users = "--events=user.*"
    async with webhook_receiver() as receiver, listening(api, receiver.url, users) as run:
        ada = await make_user(api, "ada")
        await api("PATCH", f"/v1/admin/users/{ada}", {"name": "Ada"})
        created, updated = await verified(receiver, run.first["secret"], 2)
        assert (created.type, created.source) == ("user.created", "tenantry/identity")
        assert (created.subject, created.tenantid) == (ada, api.tenant)
        assert UserCreated.model_validate(created.data).user.email == "ada@example.com"
        changes = UserUpdated.model_validate(updated.data).changes
        assert changes["name"].to == "Ada"
        code, err = await run.stop()
        assert (code, "--after" in err) == (130, True)
    webhooks = await api("GET", "/v1/admin/webhooks")
    assert webhooks.body["pagination"]["total"] == 0


async def test_only_what_was_asked_for_is_forwarded(api: Api) -> None:
    chosen = ("--events=organization.*", "--after=0")
    async with webhook_receiver() as receiver, listening(api, receiver.url, *chosen) as run:
        await make_user(api, "ada")
        await api("POST", "/v1/admin/organizations", {"name": "Acme"})
        (event,) = await verified(receiver, run.first["secret"], 1)
    assert event.type == "organization.created"


async def test_what_came_while_nobody_listened_is_sent_by_the_next_run(
    api: Api, tmp_path: Path
) -> None:
    place = f"--resume={tmp_path / 'place.json'}"
    async with webhook_receiver() as receiver:
        async with listening(api, receiver.url, place, "--events=user.created") as run:
            users = [await make_user(api, "ada")]
            await verified(receiver, run.first["secret"], 1)
            await run.stop(signal.SIGKILL)
        users += [await make_user(api, name) for name in ("bob", "cy")]
        receiver.received.clear()
        async with listening(api, receiver.url, place, "--events=user.created") as run:
            came: list[str] = []
            while users[-1] not in came:
                events = await verified(receiver, run.first["secret"], len(came) + 1)
                came = [each.subject for each in events]
    assert came in (users, users[-2:]), "a kill may repeat one, and skips none"


async def test_it_waits_for_a_receiver_that_is_not_there_yet(api: Api) -> None:
    (port,) = free_ports(1)
    async with listening(api, f"http://127.0.0.1:{port}/in", "--events=user.*") as run:
        ada = await make_user(api, "ada")
        assert run.process.stdout is not None
        refused = json.loads(await asyncio.wait_for(run.process.stdout.readline(), 30))
        assert (refused["status"], refused["event_type"]) == (None, "user.created")
        received = []

        async def receive(request: web.Request) -> web.Response:
            received.append(await request.json())
            return web.Response(status=500)

        app = web.Application()
        app.router.add_post("/in", receive)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            bob = await make_user(api, "bob")

            async def both() -> bool:
                return [each["subject"] for each in received] == [ada, bob]

            await until(both, 30)
        finally:
            await runner.cleanup()


async def test_an_outage_of_the_trail_loses_nothing(stack: Stack, api: Api) -> None:
    async with (
        webhook_receiver() as receiver,
        listening(api, receiver.url, "--events=user.created") as run,
    ):
        users = [await make_user(api, "ada")]
        await verified(receiver, run.first["secret"], 1)
        pid = stack.kill("edge")
        await stack.restarted("edge", pid)

        async def answers() -> bool:
            try:
                return (await api("GET", "/health/live")).status == 200
            except OSError:
                return False

        await until(answers, 60)
        users += [await make_user(api, name) for name in ("bob", "cy")]
        events = await verified(receiver, run.first["secret"], 3)
    assert [each.subject for each in events] == users


async def test_a_key_that_may_not_is_refused_with_the_scope(api: Api) -> None:
    project = await api("POST", "/v1/admin/projects", {"name": "P"})
    keys = f"/v1/admin/projects/{project.body['id']}/api-keys"
    key = await api("POST", keys, {"name": "k", "scopes": ["users:read"]})
    ran = await tenantry(
        *("webhooks", "listen", "--forward-to=http://127.0.0.1:1/in"),
        TENANTRY_URL=api.url, TENANTRY_API_KEY=key.body["secret"],
    )  # fmt: skip
    assert (ran.code, ran.out) == (1, "")
    assert "audit:read" in ran.err
