"""What a receiver may answer, byte by byte: what counts as its answer."""

import asyncio
import gzip

import pytest
from service.webhooks.receivers import answering, send_to, wait_until_closed
from support.raw_receiver import Peer, raw_receiver
from webhooks.worker import attempt
from webhooks.worker.http_client import HttpClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nRetry-After: 9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NOT_HTTP = "The answer was not valid HTTP."
BROKEN = "The connection could not be made, or broke before an answer."


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
    http_client: HttpClient, answer: bytes, status: int, body: str
) -> None:
    with raw_receiver(answering(answer, answer)) as receiver:
        for _ in range(2):
            result = await send_to(http_client, receiver)
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
    http_client: HttpClient, answer: bytes, status: int, body: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(answer)
        if b"close" in answer:
            return
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        result = await send_to(http_client, receiver)
        assert (result.response_status, result.response_body) == (status, body)
        assert result.succeeded == (status != 101)
        await wait_until_closed(receiver)
        await send_to(http_client, receiver)
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
async def test_what_is_no_answer_is_a_failed_attempt(
    http_client: HttpClient, answer: bytes
) -> None:
    with raw_receiver(answering(answer)) as receiver:
        result = await send_to(http_client, receiver)
        assert (result.outcome, result.response_status, result.error) == ("failed", None, NOT_HTTP)
        await wait_until_closed(receiver)


async def test_an_answer_without_length_ends_with_the_connection(http_client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(b"HTTP/1.1 200 OK\r\n\r\nok")
        peer.end_writing()
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        result = await send_to(http_client, receiver)
        assert (result.outcome, result.response_body) == ("succeeded", "ok")
        await wait_until_closed(receiver)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 2", EARLY_HINTS])
async def test_an_end_before_the_answer_is_a_failed_attempt(
    http_client: HttpClient, start: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(start)
        peer.end_writing()
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        result = await send_to(http_client, receiver)
        assert (result.outcome, result.error) == ("unreachable", BROKEN)
        assert receiver.connections == 1
        await wait_until_closed(receiver)


async def test_an_early_answer_to_a_long_request_counts_and_ends_the_connection(
    http_client: HttpClient,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.push(NO_CONTENT)
        await asyncio.sleep(3)

    with raw_receiver(script) as receiver:
        result = await send_to(http_client, receiver, body=b"x" * 20_000_000)
        assert (result.outcome, result.response_status) == ("succeeded", 204)
        assert result.duration_ms < 2000


async def test_a_slow_answer_is_cut_at_the_time_of_an_attempt(
    http_client: HttpClient, monkeypatch: pytest.MonkeyPatch
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
        assert (await send_to(http_client, receiver)).outcome in {"timed_out", "failed"}
        await wait_until_closed(receiver)
    with raw_receiver(drip_body) as receiver:
        result = await send_to(http_client, receiver)
        assert (result.outcome, result.duration_ms >= 500) == ("succeeded", True)
        await wait_until_closed(receiver)


async def test_nothing_is_decompressed(http_client: HttpClient) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    with raw_receiver(answering(head.encode() + bomb)) as receiver:
        result = await send_to(http_client, receiver)
        assert result.outcome == "succeeded"
        assert len(result.response_body or "") <= 4096
        assert b"accept-encoding: identity\r\n" in receiver.requests[0].lower()
