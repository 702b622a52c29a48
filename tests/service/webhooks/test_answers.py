"""What a receiver may answer, byte by byte, and what becomes of the connection afterwards."""

import asyncio
import gzip
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from service.webhooks.test_http_client import certificate
from support.raw_receiver import Peer, RawReceiver, Script, raw_receiver
from support.waiting import until
from webhooks.worker import attempt
from webhooks.worker.answer import Answer
from webhooks.worker.attempt import AttemptResult, send
from webhooks.worker.connection import Connection
from webhooks.worker.connection_pool import MAX_IDLE_OF_OWNER
from webhooks.worker.http_client import HttpClient
from webhooks.worker.request import WebhookRequest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nRetry-After: 9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NOT_HTTP = "The answer was not valid HTTP."
BROKEN = "The connection could not be made, or broke before an answer."


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    with closing(HttpClient(allow_private=True)) as opened:
        yield opened


async def send_to(
    client: HttpClient, receiver: RawReceiver, webhook: str = "whk_1", body: bytes = b"{}"
) -> AttemptResult:
    request = WebhookRequest(webhook, receiver.url, "evt_1", body, [b"secret"])
    return await send(client, request, allow_private=True)


async def wait_until_closed(receiver: RawReceiver, count: int = 0) -> None:
    async def is_closed() -> bool:
        return receiver.open == count

    await until(is_closed, 3)


def answering(*answers: bytes) -> Script:
    """Each connection answers its requests with these in turn, and stays open."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.read_request()
            await peer.push(answer)
        await peer.wait_until_closed()

    return script


COMPLETE = {
    "length": (OK, 200, "ok"),
    "no body": (NO_CONTENT, 204, ""),
    "a length without a body": (b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n", 204, ""),
    "304": (b"HTTP/1.1 304 X\r\nContent-Length: 50\r\n\r\n", 304, ""),
    "chunks": (CHUNKED + b"2\r\nok\r\n0\r\nRetry-After: 7\r\n\r\n", 200, "ok"),
    "interim answers": (EARLY_HINTS * 8 + OK, 200, "ok"),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok"),
    "a folded line": (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
}


@pytest.mark.parametrize(("answer", "status", "body"), COMPLETE.values(), ids=COMPLETE)
async def test_a_complete_answer_keeps_the_connection(
    client: HttpClient, answer: bytes, status: int, body: str
) -> None:
    with raw_receiver(answering(answer, answer)) as receiver:
        for _ in range(2):
            result = await send_to(client, receiver)
            assert (result.response_status, result.response_body) == (status, body)
            assert result.retry_after is None
        assert receiver.connections == 1


ENDING = {
    "204 with five bytes": (b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello", 204, ""),
    "bytes beyond the length": (OK + b"more", 200, "ok"),
    "two answers": (OK + GONE, 200, "ok"),
    "connection: close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", 200, "ok"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
    "101": (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nxx", 101, ""),
    "101 of nothing": (b"HTTP/1.1 101 X\r\n\r\n", 101, ""),
    "chunks that are wrong": (CHUNKED + b"2\r\nok\r\nxyz\r\n", 200, "ok"),
    "a body beyond its bound": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
        200,
        "x" * 4096,
    ),
}


@pytest.mark.parametrize(("answer", "status", "body"), ENDING.values(), ids=ENDING)
async def test_an_answer_that_leaves_doubt_counts_and_ends_the_connection(
    client: HttpClient, answer: bytes, status: int, body: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(answer)
        if b"close" in answer:
            return
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        result = await send_to(client, receiver)
        assert (result.response_status, result.response_body) == (status, body)
        assert result.succeeded == (status != 101)
        await wait_until_closed(receiver)
        await send_to(client, receiver)
        assert (receiver.connections, len(receiver.requests)) == (2, 2)


INVALID = {
    "nine interim answers": EARLY_HINTS * 9 + OK,
    "continue without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    "a head beyond its bound": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 11_000 + b"\r\n",
    "interim heads beyond it": (
        (b"HTTP/1.1 103 X\r\n" + b"A: b\r\n" * 2_000 + b"\r\n") * 6 + NO_CONTENT
    ),
    "a line without end": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000,
    "a reason without end": b"HTTP/1.1 200 " + b"b" * 70_000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + CHUNKED[17:] + b"0\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nothing but line feeds": b"\r\n" * 33_000,
}


@pytest.mark.parametrize("answer", INVALID.values(), ids=INVALID)
async def test_what_is_no_answer_is_a_failed_attempt(client: HttpClient, answer: bytes) -> None:
    with raw_receiver(answering(answer)) as receiver:
        result = await send_to(client, receiver)
        assert (result.outcome, result.response_status, result.error) == ("failed", None, NOT_HTTP)
        await wait_until_closed(receiver)


async def test_an_answer_without_length_ends_with_the_connection(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(b"HTTP/1.1 200 OK\r\n\r\nok")
        peer.end_writing()
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        result = await send_to(client, receiver)
        assert (result.outcome, result.response_body) == ("succeeded", "ok")
        await wait_until_closed(receiver)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 2", EARLY_HINTS])
async def test_an_end_before_the_answer_is_a_failed_attempt(
    client: HttpClient, start: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(start)
        peer.end_writing()
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        result = await send_to(client, receiver)
        assert (result.outcome, result.error) == ("unreachable", BROKEN)
        assert receiver.connections == 1
        await wait_until_closed(receiver)


@pytest.mark.parametrize("is_read", [False, True])
async def test_an_answer_from_before_its_request_is_none(*, is_read: bool) -> None:
    pushed = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.push(OK)
        pushed.set()
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        url = urlsplit(receiver.url)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(lambda _: None), url.hostname, url.port
        )
        assert pushed.wait(5)  # the loop is held, as by any work of it
        if is_read:
            await wait_until_closed(receiver)
        with pytest.raises(ConnectionAbortedError):
            await connection.exchange(b"", Answer())
        await wait_until_closed(receiver)


@pytest.mark.parametrize("answer", [OK, GONE, b"\n", b"x" * 5_000_000])
async def test_what_arrives_on_an_idle_connection_ends_it(
    client: HttpClient, answer: bytes
) -> None:
    pushed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(NO_CONTENT)
        await asyncio.sleep(0.05)
        try:
            await peer.push(answer)
        finally:
            loop.call_soon_threadsafe(pushed.set)
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        assert (await send_to(client, receiver)).response_status == 204
        await asyncio.wait_for(pushed.wait(), 5)
        await wait_until_closed(receiver)
        assert receiver.pushed <= 100_000
        assert (await send_to(client, receiver)).response_status == 204
        assert (receiver.connections, len(receiver.requests)) == (2, 2)


async def test_what_the_loop_has_not_read_yet_is_no_answer_to_the_next_request(
    client: HttpClient,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(NO_CONTENT)
        await asyncio.sleep(0.05)
        await peer.push(GONE)
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        assert (await send_to(client, receiver)).response_status == 204
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is held, as by any work of it
        assert (await send_to(client, receiver)).response_status == 204
        assert (receiver.connections, len(receiver.requests)) == (2, 2)


async def test_a_connection_belongs_to_one_webhook_and_one_origin(client: HttpClient) -> None:
    with (
        raw_receiver(answering(OK, OK, OK)) as receiver,
        raw_receiver(answering(OK, OK, OK)) as moved,
    ):
        for webhook in ("whk_1", "whk_2", "whk_1", "whk_2"):
            await send_to(client, receiver, webhook)
        assert (receiver.connections, len(receiver.requests)) == (2, 4)
        await send_to(client, moved, "whk_1")
        assert (receiver.connections, moved.connections) == (2, 1)


async def test_idle_connections_are_bounded_and_end_after_a_while(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.worker.connection_pool.IDLE_SECONDS", 0.5)
    monkeypatch.setattr("webhooks.worker.connection_pool.MAX_IDLE", 20)
    with raw_receiver(answering(OK, OK)) as receiver:
        for webhook, kept in (("whk_1", 8), ("whk_2", 16), ("whk_3", 20)):
            await asyncio.gather(
                *(send_to(client, receiver, webhook) for _ in range(MAX_IDLE_OF_OWNER + 4))
            )
            await wait_until_closed(receiver, kept)
        await wait_until_closed(receiver)


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_ended_while_idle_is_replaced_within_the_attempt(
    client: HttpClient, *, reset: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(OK)
        if reset:
            await peer.read_request()  # and closes it without an answer

    with raw_receiver(script) as receiver:
        for _ in range(2):
            assert (await send_to(client, receiver)).outcome == "succeeded"
        assert receiver.connections == 2


async def test_an_early_answer_to_a_long_request_counts_and_ends_the_connection(
    client: HttpClient,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.push(NO_CONTENT)
        await asyncio.sleep(3)

    with raw_receiver(script) as receiver:
        result = await send_to(client, receiver, body=b"x" * 20_000_000)
        assert (result.outcome, result.response_status) == ("succeeded", 204)
        assert result.duration_ms < 2000


async def test_a_slow_answer_is_cut_at_the_time_of_an_attempt(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "TIMEOUT_SECONDS", 0.5)

    async def drip(peer: Peer) -> None:
        await peer.read_request()
        await peer.push_without_end(b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\n"[:1], 0.01)

    async def drip_body(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        await peer.push_without_end(b"x", 0.01)

    with raw_receiver(drip) as receiver:
        assert (await send_to(client, receiver)).outcome in {"timed_out", "failed"}
        await wait_until_closed(receiver)
    with raw_receiver(drip_body) as receiver:
        result = await send_to(client, receiver)
        assert (result.outcome, result.duration_ms >= 500) == ("succeeded", True)
        await wait_until_closed(receiver)


async def test_nothing_is_decompressed(client: HttpClient) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    with raw_receiver(answering(head.encode() + bomb)) as receiver:
        result = await send_to(client, receiver)
        assert result.outcome == "succeeded"
        assert len(result.response_body or "") <= 4096
        assert b"accept-encoding: identity\r\n" in receiver.requests[0].lower()


async def test_with_tls_it_is_the_same(tmp_path: Path) -> None:
    server_side, trusting = certificate(tmp_path, "hooks.example.com")

    async def look_up(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.read_request()
            await peer.push(OK)
        await asyncio.sleep(0.05)
        await peer.push_without_end(GONE)

    with (
        raw_receiver(script, server_side) as receiver,
        closing(HttpClient(allow_private=True, lookup=look_up, tls=trusting)) as client,
    ):
        receiver.url = receiver.url.replace("127.0.0.1", "hooks.example.com")
        for _ in range(2):
            assert (await send_to(client, receiver)).response_body == "ok"
        assert receiver.connections == 1
        await wait_until_closed(receiver)
        assert (await send_to(client, receiver)).response_body == "ok"
        assert receiver.connections == 2


async def test_tls_without_end_is_cut(tmp_path: Path) -> None:
    """A server may send as many session tickets as it likes, and none of them is data."""
    server_side, trusting = certificate(tmp_path, "hooks.example.com")
    server_side.num_tickets = 2000

    async def look_up(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    with (
        raw_receiver(answering(OK), server_side) as receiver,
        closing(HttpClient(allow_private=True, lookup=look_up, tls=trusting)) as client,
    ):
        receiver.url = receiver.url.replace("127.0.0.1", "hooks.example.com")
        assert (await send_to(client, receiver)).error == NOT_HTTP
        await wait_until_closed(receiver)
