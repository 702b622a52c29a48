"""What clients can hold of a process by being many, or by not reading: a real server, small limits.

The product's own limits are thousands of connections and a minute.
"""

import asyncio
import resource
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from chassis import client_limits, http_protocol
from chassis.client_addresses import TrustedProxies
from chassis.client_limits import ClientLimits, connection_limit
from chassis.http_server import HttpServer
from security.raw_http import CLOSED, ELSEWHERE, HERE, connect, held_open, send_raw
from support.waiting import until
from tenantry.servers.ports import free_ports

MOST = 20
ANSWER = 32 * 1024 * 1024
"""Bytes: more than all buffers on the way."""
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
WAITING: set[object] = set()
"""Requests for /wait, which are answered when their client has gone or their body is there."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    size = ANSWER if scope["path"] == "/large" else 2
    if scope["path"] == "/wait":
        WAITING.add(receive)
        has_body = scope["method"] == "POST"
        message = await receive()
        while message["type"] == "http.request" and (message["more_body"] or not has_body):
            message = await receive()
        WAITING.discard(receive)
    while scope["path"] == "/busy" and (await receive())["type"] == "http.request":
        pass
    fields = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"x" * size})


@asynccontextmanager
async def served(proxies: str = "", **limits: int) -> AsyncIterator[tuple[HttpServer, str]]:
    (port,) = free_ports(1)
    large = {"memory": 4 * ANSWER, "memory_per_address": 2 * ANSWER}
    trusted = TrustedProxies(proxies)
    server = HttpServer(app, "127.0.0.1", port, ClientLimits(**(large | limits)), trusted)
    running = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    try:
        await until(started)
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.stop()
        await running


async def get(url: str, source: str = HERE) -> int:
    """The status, over a connection of its own."""
    return (await send_raw(url, GET, source=source)).status


async def test_with_no_place_left_the_connection_goes_that_is_idle_longest() -> None:
    async with served(connections=MOST) as (server, url), held_open(url, MOST, b"GET"):

        async def full() -> bool:
            return len(server.server_state.connections) == MOST

        await until(full)
        for _ in range(3 * MOST):
            assert await get(url, ELSEWHERE) == 200
        assert len(server.server_state.connections) <= MOST


async def test_an_address_has_its_own_bound_and_others_keep_their_connections() -> None:
    async with served(connections_per_address=MOST) as (server, url):
        reader, writer = await connect(url, ELSEWHERE)
        async with held_open(url, 5 * MOST, b"GET"):

            async def bounded() -> bool:
                return len(server.server_state.connections) == MOST + 1

            await until(bounded)
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_connection_at_work_is_not_closed_for_another_one() -> None:
    async with served(connections_per_address=MOST) as (server, url):
        async with held_open(url, MOST, WAIT):

            async def busy() -> bool:
                return len(WAITING) == MOST

            await until(busy)
            assert await get(url) == CLOSED
            assert await get(url, ELSEWHERE) == 200
            assert len(WAITING) == MOST

        async def free() -> bool:
            return not server.server_state.connections

        await until(free)
        assert await get(url) == 200


async def test_requests_that_wait_on_a_connection_are_few() -> None:
    async with served() as (server, url):
        async with held_open(url, 1, WAIT + GET * 5_000):

            async def dropped() -> bool:
                return not server.server_state.connections

            await until(dropped)
        assert await get(url) == 200


async def test_a_large_head_is_forgotten_once_it_is_answered() -> None:
    async with served() as (server, url):
        head = GET[:-2] + b"X: " + b"x" * 60_000 + b"\r\n\r\n"
        async with held_open(url, MOST, head):

            async def answered() -> bool:
                return server.server_state.total_requests == MOST

            await until(answered)
            assert len(server.server_state.connections) == MOST
            for each in server.server_state.connections:
                assert sum(len(value) for _, value in each.cycle.scope.get("headers", ())) == 0


async def test_unfinished_bodies_of_an_address_are_bounded_in_bytes() -> None:
    size = 256 * 1024
    length = b"Content-Length: %d\r\n\r\n" % (2 * size)
    part = b"POST /wait HTTP/1.1\r\nHost: x\r\n" + length + b"x" * size
    async with served(memory_per_address=10 * size) as (server, url), held_open(url, 40, part):

        async def bounded() -> bool:
            held = [each.held for each in server.server_state.connections]
            return 8 * size <= sum(held) <= 10 * size + 8192

        await until(bounded)
        said = await send_raw(url, part, b"x" * size)
        assert said.status in (200, 503)
        if said.status == 503:
            assert b"retry-after: 1" in said.head.lower()
        assert await get(url, ELSEWHERE) == 200


async def test_a_request_at_work_is_not_ended_for_one_that_is_still_sent() -> None:
    size = 256 * 1024
    length = b"Content-Length: %d\r\n\r\n" % size
    whole = b"POST /busy HTTP/1.1\r\nHost: x\r\n" + length + b"x" * size
    part = b"POST /wait HTTP/1.1\r\nHost: x\r\n" + length + b"x" * (size - 1)
    async with served(memory_per_address=5 * size) as (server, url), held_open(url, 3, whole):

        async def at_work() -> list[Any]:
            connections = server.server_state.connections
            return [each for each in connections if each.held > size and not each.waits]

        async def all_at_work() -> bool:
            return len(await at_work()) == 3

        await until(all_at_work)
        async with held_open(url, 10, part):

            async def bounded() -> bool:
                held = [each for each in server.server_state.connections if each.held]
                return len(held) == 4

            await until(bounded)
            assert len(await at_work()) == 3


async def test_where_memory_is_scarce_the_address_that_holds_most_gives_way() -> None:
    size = 64 * 1024
    length = b"Content-Length: %d\r\n\r\n" % size
    part = b"POST /wait HTTP/1.1\r\nHost: x\r\n" + length + b"x" * (size - 1)
    async with (
        served(memory=10 * size) as (server, url),
        held_open(url, 10, part),
        held_open(url, 2, part, source=ELSEWHERE),
    ):

        async def by_address() -> bool:
            held: Counter[str] = Counter()
            for each in server.server_state.connections:
                held[each.client[0]] += each.held > 0
            return held == {"127.0.0.1": 7, "127.0.0.2": 2}

        await until(by_address)


async def test_a_proxy_has_more_connections_and_its_clients_their_own_memory() -> None:
    size = 64 * 1024
    length = b"Content-Length: %d\r\n\r\n" % size

    def part(client: str) -> bytes:
        head = f"POST /wait HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n"
        return head.encode() + length + b"x" * (size - 1)

    limits = {"connections_per_address": 2, "connections_per_proxy": 20}
    async with (
        served(HERE, memory_per_address=4 * size, **limits) as (server, url),
        held_open(url, 6, part("203.0.113.1")),
        held_open(url, 2, part("203.0.113.2")),
        held_open(url, 2, part("junk")),
    ):

        async def by_client() -> bool:
            held: Counter[str] = Counter()
            for each in server.server_state.connections:
                held[each.payer.name] += each.held > 0
            return held == {"203.0.113.1": 3, "203.0.113.2": 2, HERE: 2}

        await until(by_client)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
async def test_an_answer_that_nobody_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "UNREAD_ANSWER_SECONDS", 1)
    async with served() as (server, url):
        target = urlsplit(url)
        with socket.create_connection((target.hostname or "", target.port or 0)) as deaf:
            deaf.sendall(GET.replace(b"/", b"/large", 1))

            async def writing() -> bool:
                return any(each.flow.write_paused for each in server.server_state.connections)

            async def let_go() -> bool:
                return not server.server_state.connections

            await until(writing)
            await until(let_go)


async def test_answers_that_an_address_does_not_read_are_bounded_in_bytes() -> None:
    most = 3 * ANSWER // 2
    async with (
        served(memory_per_address=most) as (server, url),
        held_open(url, 4, GET.replace(b"/", b"/large", 1)),
    ):

        async def bounded() -> bool:
            held = [each.held for each in server.server_state.connections]
            return len(held) == 1 and ANSWER // 2 < held[0] <= most

        await until(bounded)
        assert await get(url, ELSEWHERE) == 200


def test_files_may_be_open_for_as_many_connections() -> None:
    needed = 1000 + client_limits.OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed - 1, hard))
        assert connection_limit(1000) == 1000
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (needed, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
