"""A minute after a user was deleted, only identifiers are left: in tables, stream, files and logs,
and in what is sent.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import nats
import orjson
import pytest
from aiohttp import ClientSession, web
from contracts.ids import new_id
from contracts.topology import STREAM
from nats.js.errors import NotFoundError
from support.api import Api
from support.stack import Stack
from support.waiting import until
from support.webhook_receiver import Receiver, webhook_receiver

MINUTE = 60.0
FIELDS = ("email", "name", "username", "external_id", "plan")
_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
 WHERE schemaname IN ('public', 'partitions')
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Answers 500, and with what it was sent."""
    async with webhook_receiver() as running:

        async def echo(request: web.Request) -> web.Response:
            return web.Response(status=500, body=await request.read())

        running.answer = echo
        yield running


async def call(api: Api, method: str, path: str, body: Any = None) -> dict[str, Any]:
    answer = await api(method, path, body)
    assert answer.status in (200, 201, 202, 204), (method, path, answer.raw)
    return dict(answer.body or {})


async def live_and_leave(api: Api, stack: Stack, words: list[str]) -> str:
    """A user who was invited, moved twice, signed in and was invited elsewhere; then deleted.

    Every personal value contains one of `words`.
    """
    mark = words[0]
    organizations = [
        await call(api, "POST", "/v1/admin/organizations", {"name": f"Org {number}"})
        for number in range(2)
    ]
    invitations = [f"/v1/admin/organizations/{each['id']}/invitations" for each in organizations]
    first = await call(api, "POST", invitations[0], {"email": f"{words[0]}@example.com"})
    anyone = api.as_key(None)
    accepted = await call(
        anyone, "POST", "/v1/invitations/accept", {"token": first["token"], "name": f"Ada {mark}"}
    )
    user = accepted["member"]["user_id"]
    path = f"/v1/admin/users/{user}"
    await call(api, "PATCH", path, {"email": f"{words[1]}@example.com", "username": f"u-{mark}"})
    await call(api, "PATCH", path, {"email": f"{words[2]}@example.com", "external_id": mark})
    await call(api, "PATCH", path, {"metadata": {"plan": mark, "deep": {"er": [mark]}}})
    await call(api, "POST", invitations[1], {"email": f"{words[2]}@example.com"})
    await call(api, "PATCH", path, {"status": "suspended"})
    await call(api, "PATCH", path, {"status": "active"})
    project = await call(api, "POST", "/v1/admin/projects", {"name": "Project"})
    body = {"project_id": project["id"], "ip_address": "203.0.113.99", "user_agent": f"Of {mark}"}
    await call(api, "POST", f"{path}/sessions", body)
    member = f"/v1/admin/organizations/{organizations[0]['id']}/members/{user}"
    await call(api, "PATCH", member, {"role": "admin"})
    return str(user)


async def find_in_tables(stack: Stack, words: list[str]) -> list[str]:
    """Which rows of any table of any database contain one of the words, as text or in bytes."""
    databases = json.loads((stack.data / "running.json").read_text())["migrations"]
    found = []
    for service, url in databases.items():
        conn = await asyncpg.connect(url)
        try:
            for (table,) in await conn.fetch(_TABLES):
                for word in words:
                    where = f"t::text LIKE '%{word}%' OR t::text LIKE '%{word.encode().hex()}%'"
                    rows = await conn.fetch(
                        f"SELECT t::text AS row FROM ONLY {table} t WHERE {where}"
                    )
                    found += [f"{service} {table} {row['row'][:300]}" for row in rows]
        finally:
            await conn.close()
    return found


async def find_in_stream(stack: Stack, words: list[str]) -> list[str]:
    running = json.loads((stack.data / "running.json").read_text())
    client = await nats.connect(running["nats_admin_url"], inbox_prefix=b"_INBOX_admin")
    found = []
    try:
        js = client.jetstream()
        state = (await js.stream_info(STREAM)).state
        for sequence in range(state.first_seq, state.last_seq + 1):
            try:
                message = await js.get_msg(STREAM, sequence)
            except NotFoundError:
                continue
            text = (message.data or b"").decode(errors="replace") + str(message.headers)
            found += [f"{sequence} {message.subject}" for word in words if word in text]
    finally:
        await client.close()
    return found


def find_in_files(stack: Stack, words: list[str]) -> list[str]:
    """In the stream's files, and in the logs."""
    found = []
    for path in stack.data.rglob("*"):
        is_of_postgres = "postgres" in path.parts and path.suffix != ".log"
        if path.is_file() and not is_of_postgres:
            content = path.read_bytes()
            found += [str(path) for word in words if word.encode() in content]
    return found


async def test_a_minute_after_the_deletion_only_identifiers_are_left(
    stack: Stack, http: ClientSession, api: Api, receiver: Receiver
) -> None:
    words = [new_id("usr").replace("usr_", "who") for _ in range(3)]
    webhook = await call(api, "POST", "/v1/admin/webhooks", {"url": receiver.url, "events": ["*"]})
    user = await live_and_leave(api, stack, words)

    async def some_came() -> bool:
        return any(words[0].encode() in each.body for each in receiver.received)

    await until(some_came)
    assert await find_in_tables(stack, words)
    assert await find_in_stream(stack, words)

    assert (await api("DELETE", f"/v1/admin/users/{user}")).status == 204

    left: list[str] = []

    async def nothing_left() -> bool:
        left[:] = await find_in_tables(stack, words)
        left.extend(await find_in_stream(stack, words))
        return not left

    await until(nothing_left, MINUTE, every=1, why=lambda: "\n".join(left))
    assert find_in_files(stack, words) == []

    receiver.received.clear()
    deliveries = f"/v1/admin/webhooks/{webhook['id']}/deliveries"
    updates = (await call(api, "GET", f"{deliveries}?event_type=user.updated"))["deliveries"]
    for each in updates:
        await call(api, "POST", f"{deliveries}/{each['id']}/retry")

    def sent_again() -> list[dict[str, Any]]:
        events = [orjson.loads(each.body) for each in receiver.received]
        return [each for each in events if each["type"] == "user.updated"]

    async def all_sent_again() -> bool:
        return len(sent_again()) >= len(updates) == 3

    await until(all_sent_again)
    assert not [word for word in words if any(word.encode() in e.body for e in receiver.received)]
    for event in sent_again():
        assert event["subject"] == user
        assert event["data"]["user"]["email"] == "erased@erased.invalid"
    assert (await call(api, "GET", "/v1/admin/audit/proof"))["valid"]
