"""A receiver of webhooks may write whatever it likes, and no other webhook notices.

The product runs as a user runs it. A hostile receiver of each kind gets deliveries without a pause;
beside it another tenant's deliveries and calls are measured.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from aiohttp import ClientSession
from support.api import Api, new_tenant
from support.figures import FIGURES
from support.raw_receiver import Peer, RawReceiver, Script, raw_receiver
from support.stack import Stack
from support.waiting import until
from support.webhook_receiver import Receiver, webhook_receiver

SAMPLES = 60
LIMIT = 3.0
"""Times the quiet p95."""
FLOOR = 0.5
"""Seconds that another process on the machine may take at any time."""
MAX_PUSHED = 400_000
"""Of one connection: 128 KiB are read, the rest lies in buffers of the system."""
MAX_GROWTH = 48 * 1024 * 1024

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BLOCK = 64 * 1024


def flooding(start: bytes, repeated: bytes) -> Script:
    """Answers with `start`, and then the rest without end."""
    block = repeated * (BLOCK // len(repeated))

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(start)
        await peer.push_without_end(block)

    return script


def flooding_when_idle(repeated: bytes) -> Script:
    """Answers well, and then writes without end what nobody asked for."""
    block = repeated * (BLOCK // len(repeated))

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(NO_CONTENT)
        await asyncio.sleep(0.02)
        await peer.push_without_end(block)

    return script


async def flood_before_the_request(peer: Peer) -> None:
    await peer.push_without_end(OK * (BLOCK // len(OK)))


async def drip(peer: Peer) -> None:
    await peer.read_request()
    await peer.push(HEAD + b"A: ")
    await peer.push_without_end(b"b", 0.002)


async def say_nothing(peer: Peer) -> None:
    await peer.wait_until_closed()


async def break_off(peer: Peer) -> None:
    await peer.read_request()
    await peer.push(b"HTTP/1.1 2")


FLOODS = {
    "early hints": flooding(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "continue": flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "header lines": flooding(HEAD, b"a:\r\n"),
    "one header line": flooding(HEAD + b"A: ", b"b"),
    "one reason": flooding(b"HTTP/1.1 200 ", b"b"),
    "line feeds": flooding(b"", b"\r\n"),
    "a body": flooding(HEAD + b"Content-Length: 999999999999\r\n\r\n", b"\0"),
    "a body without a length": flooding(HEAD + b"\r\n", b"\0"),
    "small chunks": flooding(CHUNKED, b"1\r\na\r\n"),
    "one extension of a chunk": flooding(CHUNKED + b"1;", b"a"),
    "trailers": flooding(CHUNKED + b"0\r\n", b"a:\r\n"),
    "answers": flooding(b"", OK),
    "answers when idle": flooding_when_idle(OK),
    "bytes when idle": flooding_when_idle(b"\0"),
    "answers before the request": flood_before_the_request,
}
HOLDERS = {"a drip": drip, "silence": say_nothing, "a broken answer": break_off}


@pytest.fixture(scope="module")
async def bystander(stack: Stack, http: ClientSession) -> Api:
    return await new_tenant(http, stack.url, stack.ready["operator_key"])


@pytest.fixture(scope="module")
async def honest() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as running:
        yield running


@pytest.fixture(scope="module")
async def webhook(bystander: Api, honest: Receiver) -> str:
    return await create_webhook(bystander, honest.url)


async def create_webhook(api: Api, url: str) -> str:
    created = await api(
        "POST", "/v1/admin/webhooks", {"url": url, "events": ["signing_key.rotated"]}
    )
    assert created.status == 201, created.raw
    return str(created.body["id"])


async def send_test(api: Api, webhook: str) -> str:
    sent = await api("POST", f"/v1/admin/webhooks/{webhook}/test", {})
    assert sent.status == 202, sent.raw
    return str(sent.body["id"])


async def finished(api: Api, webhook: str, delivery: str) -> dict[str, Any]:
    """The delivery with its first attempt."""

    async def attempted() -> dict[str, Any] | None:
        found = await api("GET", f"/v1/admin/webhooks/{webhook}/deliveries/{delivery}")
        return found.body if found.body["attempts"] else None

    return await until(attempted)  # type: ignore[return-value]


async def p95(measure: Callable[[], Awaitable[None]]) -> float:
    taken = []
    for _ in range(SAMPLES):
        began = time.perf_counter()
        await measure()
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    return sorted(taken)[int(len(taken) * 0.95)]


class Bystander:
    """What another tenant sees: how long a delivery and a call take."""

    def __init__(self, api: Api, webhook: str, receiver: Receiver) -> None:
        self._api = api
        self._webhook = webhook
        self._receiver = receiver

    async def deliver(self) -> None:
        count = len(self._receiver.received)
        await send_test(self._api, self._webhook)

        async def arrived() -> bool:
            return len(self._receiver.received) > count

        await until(arrived, every=0.002)

    async def call(self) -> None:
        answer = await self._api("GET", f"/v1/admin/webhooks/{self._webhook}")
        assert answer.status == 200, answer.raw


@pytest.fixture(scope="module")
def neighbour(bystander: Api, webhook: str, honest: Receiver) -> Bystander:
    return Bystander(bystander, webhook, honest)


@pytest.fixture(scope="module")
async def quiet(neighbour: Bystander) -> tuple[float, float]:
    """The p95 of a delivery and of a call while nothing else happens, in seconds."""
    await neighbour.deliver()
    return await p95(neighbour.deliver), await p95(neighbour.call)


@asynccontextmanager
async def busy(api: Api, receiver: RawReceiver) -> AsyncIterator[str]:
    """A webhook that gets deliveries without a pause."""
    webhook = await create_webhook(api, receiver.url)

    async def send() -> None:
        while True:
            await send_test(api, webhook)
            await asyncio.sleep(0.02)

    async def is_reached() -> bool:
        return receiver.connections > 0

    sending = asyncio.create_task(send())
    try:
        await until(is_reached)
        yield webhook
    finally:
        sending.cancel()
        await api("DELETE", f"/v1/admin/webhooks/{webhook}")


async def memory_of(stack: Stack) -> int:
    return int(psutil.Process(stack.ready["processes"]["webhooks"]).memory_info().rss)


@pytest.mark.parametrize("script", [*FLOODS.values(), *HOLDERS.values()], ids=[*FLOODS, *HOLDERS])
async def test_no_other_webhook_notices(
    stack: Stack, api: Api, neighbour: Bystander, quiet: tuple[float, float], script: Script
) -> None:
    memory = await memory_of(stack)
    with raw_receiver(script) as receiver:
        async with busy(api, receiver):
            delivery, call = await p95(neighbour.deliver), await p95(neighbour.call)
            grown = await memory_of(stack) - memory
    FIGURES["hostile receivers"] += 1
    assert delivery <= max(LIMIT * quiet[0], FLOOR), (delivery, quiet)
    assert call <= max(LIMIT * quiet[1], FLOOR), (call, quiet)
    assert grown <= MAX_GROWTH
    assert receiver.pushed <= MAX_PUSHED


@pytest.mark.parametrize("pushed", [OK, GONE], ids=["200", "410"])
async def test_an_answer_that_nobody_asked_for_is_no_answer_to_the_next_event(
    api: Api, bystander: Api, pushed: bytes
) -> None:
    """Of the same tenant, nor of another one with the same receiver."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(NO_CONTENT)
        await asyncio.sleep(0.2)
        await peer.push(pushed)
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        owners = [api, api, bystander]
        webhooks = [await create_webhook(each, receiver.url) for each in owners]
        first = await send_test(api, webhooks[0])
        assert (await finished(api, webhooks[0], first))["status"] == "succeeded"

        async def is_pushed() -> bool:
            return receiver.pushed >= len(NO_CONTENT + pushed)

        await until(is_pushed, 5)
        for owner, webhook in zip(owners, webhooks, strict=True):
            delivery = await finished(owner, webhook, await send_test(owner, webhook))
            assert delivery["attempts"][0]["response_status"] == 204
            found = await owner("GET", f"/v1/admin/webhooks/{webhook}")
            assert found.body["status"] == "active"
        assert len(receiver.requests) == 4


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello", 204), (OK + b"more", 200)],
    ids=["204 with five bytes", "bytes beyond the length"],
)
async def test_one_complete_answer_is_enough(api: Api, answer: bytes, status: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(answer)
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        webhook = await create_webhook(api, receiver.url)
        for count in (1, 2):
            delivery = await finished(api, webhook, await send_test(api, webhook))
            assert delivery["status"] == "succeeded"
            assert delivery["attempts"][0]["response_status"] == status
            assert receiver.connections == count
