"""Backup and restore as docs/backup.md has them: dumped while it runs, restored into a fresh stack.

The dumps are of different moments: what happened between them is told again, and heard once.
"""

import asyncio
import base64
import hashlib
import hmac
import shutil
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from chaos.snapshot import Snapshot, take_snapshot
from support.api import Api, new_tenant
from support.stack import running_stack, tenantry
from support.waiting import until
from support.webhook_receiver import Received, Receiver, webhook_receiver
from tenantry.data_folder.running import find_running
from tenantry.servers import backing_servers, postgres
from tenantry.servers.postgres_url import libpq_environment

LISTENERS, TELLERS = ("audit", "webhooks"), ("identity", "projects")
"""The first are dumped first: whatever a dump has heard of, a later one has recorded."""


async def run(program: str, url: str, *arguments: str) -> None:
    """A program beside the server's own, as the owner of the database: no superuser is needed."""
    process = await asyncio.create_subprocess_exec(
        str(postgres.find_server().with_name(program)), *arguments, env=libpq_environment(url)
    )
    assert await process.wait() == 0


class Story:
    """A tenant whose webhook hears all; what it does is told by the names of its users."""

    def __init__(self, api: Api, ear: Receiver, dumps: Path) -> None:
        self.api, self.ear, self.dumps = api, ear, dumps
        self.webhook: dict[str, Any] = {}
        self.proof: dict[str, Any] = {}
        self.due = 2
        """How many events audit must have: of the tenant and its key, and of what happened."""

    async def listen(self) -> None:
        body = {"url": self.ear.url, "events": ["*"], "description": "all"}
        made = await self.api("POST", "/v1/admin/webhooks", body)
        assert made.status == 201, made.raw
        self.webhook = made.body
        self.due += 1

    async def happen(self, name: str, count: int) -> None:
        """Users are made; returns when audit and the webhook have heard of each."""
        for number in range(count):
            body = {"email": f"{name}.{number}@example.com", "name": f"{name} {number}"}
            made = await self.api("POST", "/v1/admin/users", body)
            assert made.status == 201, made.raw
            self.due += 1
        await until(lambda: self.is_heard(name, count))

    async def is_heard(self, name: str, count: int) -> bool:
        return len(self.told(name)) >= count and await self.recorded() == self.due

    async def recorded(self) -> int:
        page = await self.api("GET", "/v1/admin/audit?limit=1")
        return int(page.body["pagination"]["total"]) if page.status == 200 else 0

    async def proven(self) -> dict[str, Any]:
        proof = (await self.api("GET", "/v1/admin/audit/proof")).body
        assert proof["valid"], proof
        return dict(proof)

    def told(self, name: str) -> list[str]:
        """The events about users of that name that the webhook heard, as often as it did."""
        return [
            each.headers["webhook-id"] for each in self.ear.received if f"{name}." in str(each.body)
        ]

    async def dump(self, services: tuple[str, ...], urls: dict[str, str]) -> None:
        for service in services:
            file = f"--file={self.dumps / service}.dump"
            await run("pg_dump", urls[service], "--format=custom", "--no-comments", file)

    def is_signed(self, each: Received) -> bool:
        key = base64.b64decode(self.webhook["secret"].removeprefix("whsec_"))
        stamp = f"{each.headers['webhook-id']}.{each.headers['webhook-timestamp']}.".encode()
        signature = base64.b64encode(hmac.digest(key, stamp + each.body, hashlib.sha256)).decode()
        return f"v1,{signature}" in each.headers["webhook-signature"].split()


async def backed_up(story_of: Path, http: ClientSession, ear: Receiver) -> tuple[Story, Snapshot]:
    """A product that worked and was dumped; and what it showed when the last dump was made."""
    async with running_stack(story_of, "--no-demo") as stack:
        api = await new_tenant(http, stack.url, stack.ready["operator_key"])
        story = Story(api, ear, story_of)
        there = find_running(story_of / "data")
        assert there is not None
        await story.listen()
        await story.happen("early", 5)
        story.proof = await story.proven()
        await story.dump(LISTENERS, there.migrations)
        await story.happen("between", 5)
        await story.dump(TELLERS, there.migrations)
        seen = await take_snapshot(api)
        await story.happen("late", 1)
    return story, seen


async def restore(story: Story, folder: Path) -> None:
    """Fresh servers with the old secrets; the dumps into empty databases, and an empty NATS."""
    shutil.copy(story.dumps / "data" / "secrets.json", folder)
    async with backing_servers(folder, with_redis=False) as servers:
        for service in (*LISTENERS, *TELLERS):
            dump = str(story.dumps / f"{service}.dump")
            url = servers.migration_url(service)
            options = ("--no-comments", "--exit-on-error", "--single-transaction")
            await run("pg_restore", url, *options, f"--dbname={service}", dump)


async def test_what_was_backed_up_is_restored_and_every_event_takes_effect_once(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new / "data"):
        folder.mkdir(mode=0o700, parents=True)
    async with ClientSession() as http, webhook_receiver() as ear:
        story, before = await backed_up(old, http, ear)
        between = set(story.told("between"))
        ear.received.clear()
        await restore(story, new / "data")
        async with running_stack(new, "--no-demo") as stack:
            story.api = Api(http, stack.url, story.api.key, story.api.tenant)
            story.due = before.total
            assert await story.proven() == story.proof
            assert story.proof["length"] < before.total, "nothing happened between the dumps"
            where = f"--data={new / 'data'}"
            again = await tenantry("events", "republish", "--since=1h", where)
            assert again.code == 0, again.err

            async def all_heard() -> bool:
                known = await story.recorded() >= before.total
                return known and set(story.told("between")) >= between

            await until(all_heard)
            after = await take_snapshot(story.api)
            assert (after.rows, after.trail) == (before.rows, before.trail)
            assert (await story.proven())["length"] == len(before.trail)
            await story.happen("after", 2)
            assert (await tenantry("audit", "verify", where)).code == 0
            assert (await tenantry("doctor", where)).code == 0
    # The webhook is told again, under the same ids, what the dump of its service had not heard.
    assert sorted(story.told("between")) == sorted(between)
    assert story.told("early") == []
    assert all(map(story.is_signed, ear.received))
