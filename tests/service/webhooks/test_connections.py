"""What becomes of a connection after an answer: to whom it belongs, and what ends it."""

import asyncio
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from service.webhooks.receivers import answering, send_to, wait_until_closed
from service.webhooks.test_http_client import certificate
from support.raw_receiver import Peer, raw_receiver
from webhooks.worker.answer import Answer
from webhooks.worker.connection import Connection
from webhooks.worker.http_client import HttpClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
NOT_HTTP = "The answer was not valid HTTP."


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
    http_client: HttpClient, answer: bytes
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
        assert (await send_to(http_client, receiver)).response_status == 204
        await asyncio.wait_for(pushed.wait(), 5)
        await wait_until_closed(receiver)
        assert receiver.pushed <= 100_000
        assert (await send_to(http_client, receiver)).response_status == 204
        assert (receiver.connections, len(receiver.requests)) == (2, 2)


async def test_what_the_loop_has_not_read_yet_is_no_answer_to_the_next_request(
    http_client: HttpClient,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(NO_CONTENT)
        await asyncio.sleep(0.05)
        await peer.push(GONE)
        await peer.wait_until_closed()

    with raw_receiver(script) as receiver:
        assert (await send_to(http_client, receiver)).response_status == 204
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is held, as by any work of it
        assert (await send_to(http_client, receiver)).response_status == 204
        assert (receiver.connections, len(receiver.requests)) == (2, 2)


async def test_a_connection_belongs_to_one_webhook_and_one_origin(http_client: HttpClient) -> None:
    with (
        raw_receiver(answering(OK, OK, OK)) as receiver,
        raw_receiver(answering(OK, OK, OK)) as moved,
    ):
        for webhook in ("whk_1", "whk_2", "whk_1", "whk_2"):
            await send_to(http_client, receiver, webhook)
        assert (receiver.connections, len(receiver.requests)) == (2, 4)
        await send_to(http_client, moved, "whk_1")
        assert (receiver.connections, moved.connections) == (2, 1)


async def test_idle_connections_are_bounded_and_end_after_a_while(
    http_client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.worker.connection_pool.IDLE_SECONDS", 0.5)
    monkeypatch.setattr("webhooks.worker.connection_pool.MAX_IDLE", 20)
    monkeypatch.setattr("webhooks.worker.connection_pool.MAX_IDLE_OF_OWNER", 8)
    with raw_receiver(answering(OK, OK)) as receiver:
        for webhook, kept in (("whk_1", 8), ("whk_2", 16), ("whk_3", 20)):
            await asyncio.gather(*(send_to(http_client, receiver, webhook) for _ in range(12)))
            await wait_until_closed(receiver, kept)
        await wait_until_closed(receiver)


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_ended_while_idle_is_replaced_within_the_attempt(
    http_client: HttpClient, *, reset: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.push(OK)
        if reset:
            await peer.read_request()  # and closes it without an answer

    with raw_receiver(script) as receiver:
        for _ in range(2):
            assert (await send_to(http_client, receiver)).outcome == "succeeded"
        assert receiver.connections == 2


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
