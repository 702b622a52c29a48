"""The open stream of events: resumed, kept alive, ended with its key, and nothing comes twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiohttp import ClientResponse
from support.api import Api
from support.stack import Stack

PATH = "/v1/admin/events"


@asynccontextmanager
async def following(api: Api, **headers: str) -> AsyncIterator[ClientResponse]:
    sent = {"Authorization": f"Bearer {api.key}", "Accept": "text/event-stream"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.http.get(api.url + PATH, headers=sent) as stream:
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        yield stream


async def part(stream: ClientResponse) -> dict[str, str]:
    """The fields of the next message; a comment has the name ''. Empty at the end of the stream."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(30):
        while (line := (await stream.content.readline()).decode()) not in ("\n", ""):
            name, _, value = line.rstrip("\n").partition(": " if not line.startswith(":") else ":")
            fields[name] = value
    return fields


async def events(stream: ClientResponse, count: int) -> list[dict[str, Any]]:
    """The next events, whose message is what the page of the feed has."""
    found = []
    while len(found) < count:
        message = await part(stream)
        if "data" not in message:
            continue
        event = json.loads(message["data"])
        assert message == {
            "id": str(event["sequence"]),
            "event": event["action"],
            "data": message["data"],
        }
        found.append(event)
    return found


async def make(api: Api, count: int) -> None:
    for _ in range(count):
        made = await api("POST", "/v1/admin/organizations", {"name": uuid4().hex})
        assert made.status == 201


async def recorded(api: Api) -> list[dict[str, Any]]:
    return list((await api("GET", f"{PATH}?limit=200")).body["events"])


async def test_who_breaks_off_goes_on_where_it_was(api: Api) -> None:
    await make(api, 3)
    async with following(api) as stream:
        seen = await events(stream, 3)
    await make(api, 2)
    async with following(api, last_event_id=str(seen[-1]["sequence"])) as stream:
        seen += await events(stream, 4)
        await make(api, 1)
        seen += await events(stream, 1)
    assert seen == await recorded(api)
    assert [each["sequence"] for each in seen] == list(range(1, 9))


async def test_a_senseless_place_to_resume_at_is_refused(api: Api) -> None:
    for place in ("x", "-1", "1.5", "1" * 19, ""):
        refused = await api("GET", PATH, accept="text/event-stream", last_event_id=place)
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, "Last-Event-ID")


async def test_a_quiet_stream_is_kept_alive_by_comments(api: Api) -> None:
    async with following(api, last_event_id="1000") as stream:
        assert set(await part(stream)) == {""}


async def test_the_stream_ends_with_its_key(api: Api) -> None:
    project = await api("POST", "/v1/admin/projects", {"name": "P"})
    keys = f"/v1/admin/projects/{project.body['id']}/api-keys"
    key = await api("POST", keys, {"name": "k", "scopes": ["audit:read"]})
    async with following(api.as_key(key.body["secret"])) as stream:
        await events(stream, 1)
        assert (await api("DELETE", f"{keys}/{key.body['id']}")).status == 204
        async with asyncio.timeout(5):
            while await part(stream):
                pass
        assert stream.content.at_eof()


async def test_while_audit_is_away_nothing_is_sent_twice(stack: Stack, api: Api) -> None:
    await make(api, 3)
    async with following(api) as stream:
        seen = await events(stream, 5)
        pid = stack.kill("audit")
        await make(api, 2)
        await stack.restarted("audit", pid)
        seen += await events(stream, 2)
    assert [each["sequence"] for each in seen] == list(range(1, 8))
