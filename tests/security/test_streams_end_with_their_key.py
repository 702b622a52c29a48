"""What takes long ends about a second after its key: exports, imports, bodies that come slowly."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession
from support.api import Api, new_tenant
from support.stack import Stack, running_stack
from support.waiting import until

EVENTS = 12_000
LINES = 10_000


@pytest.fixture(scope="module")
async def streaming_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("streaming")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture
async def caller(streaming_stack: Stack) -> AsyncIterator[Api]:
    async with ClientSession(read_bufsize=1024) as http:
        stack = streaming_stack
        yield await new_tenant(http, stack.url, stack.ready["operator_key"])


async def new_key(caller: Api, *scopes: str) -> tuple[Api, str]:
    """A caller with a key of its own, and the path that revokes the key."""
    project = await caller("POST", "/v1/admin/projects", {"name": "P"})
    keys = f"/v1/admin/projects/{project.body['id']}/api-keys"
    key = await caller("POST", keys, {"name": "k", "scopes": list(scopes)})
    return caller.as_key(key.body["secret"]), f"{keys}/{key.body['id']}"


def users(count: int) -> bytes:
    lines = ({"email": f"{uuid4().hex}@example.com"} for _ in range(count))
    return b"\n".join(json.dumps(line).encode() for line in lines)


async def import_users(api: Api, body: bytes) -> list[dict[str, Any]]:
    answer = await api(
        "POST", "/v1/admin/users/bulk", data=body, content_type="application/x-ndjson"
    )
    assert answer.status == 200, answer.raw
    return [json.loads(line) for line in answer.raw.splitlines()]


async def read_slowly(stream: ClientResponse) -> None:
    async for _ in stream.content.iter_any():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", ["revoked", "rotated"])
async def test_an_export_ends_with_its_key(caller: Api, end: str) -> None:
    await import_users(caller, users(LINES))
    await import_users(caller, users(EVENTS - LINES))

    async def recorded() -> bool:
        listed = await caller("GET", "/v1/admin/audit?limit=1")
        return int(listed.body["pagination"]["total"]) >= EVENTS

    await until(recorded, 60)
    as_key, path = await new_key(caller, "audit:read")
    headers = {"Authorization": f"Bearer {as_key.key}"}
    url = f"{caller.url}/v1/admin/audit/export"
    async with caller.http.get(url, headers=headers) as stream:
        assert stream.status == 200
        await stream.content.readany()
        if end == "revoked":
            assert (await caller("DELETE", path)).status == 204
        else:
            assert (await caller("POST", f"{path}/rotate", {})).status == 201
        ended = time.monotonic()
        with pytest.raises(ClientError):  # cut, so that nobody takes it for the whole
            await read_slowly(stream)
        assert time.monotonic() - ended < 3


async def test_an_import_ends_with_its_key(caller: Api) -> None:
    as_key, path = await new_key(caller, "users:write")
    running = asyncio.create_task(import_users(as_key, users(LINES)))

    async def begun() -> bool:
        listed = await caller("GET", "/v1/admin/users?limit=1")
        return int(listed.body["pagination"]["total"]) > 0

    await until(begun)
    assert (await caller("DELETE", path)).status == 204
    results = await running
    assert [each["line"] for each in results] == list(range(1, LINES + 1))
    refused = [each for each in results if each["status"] == 401]
    assert refused, "all of it was done before the key was revoked"
    assert {each["code"] for each in refused} == {"unauthenticated"}
    assert results[-len(refused) :] == refused, "nothing is done after it"
    done = await caller("GET", "/v1/admin/users?limit=1")
    assert done.body["pagination"]["total"] == LINES - len(refused)


@pytest.mark.parametrize("bulk", [False, True])
async def test_a_body_that_comes_slowly_does_nothing_once_its_key_is_revoked(
    caller: Api, bulk: bool
) -> None:
    as_key, path = await new_key(caller, "users:write")
    headers = {"Authorization": f"Bearer {as_key.key}"}
    headers["Content-Type"] = "application/x-ndjson" if bulk else "application/json"
    revoked = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        text = users(1)
        yield text[:5]
        await asyncio.sleep(1)  # the edge has authenticated, and waits for the rest
        assert (await caller("DELETE", path)).status == 204
        revoked.set()
        yield text[5:]

    url = f"{caller.url}/v1/admin/users" + ("/bulk" if bulk else "")
    async with caller.http.post(url, headers=headers, data=body()) as answer:
        assert revoked.is_set()
        assert answer.status == 401
    assert (await caller("GET", "/v1/admin/users")).body["users"] == []
