"""What clients can hold of a process by being many, or by not reading: a real server, small limits.

The product's own limits are thousands of connections and a minute.
"""

import asyncio
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from chassis import http_server
from chassis.http_server import HttpServer
from security.raw_http import CLOSED, held_open, send_raw
from support.waiting import until
from tenantry.servers.ports import free_ports

MOST = 20
ANSWER = 32 * 1024 * 1024
"""Bytes: more than all buffers on the way."""
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    size = ANSWER if scope["path"] == "/large" else 2
    fields = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"x" * size})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[HttpServer, str]]:
    (port,) = free_ports(1)
    server = HttpServer(app, "127.0.0.1", port)
    running = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    try:
        await until(started)
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


async def test_one_connection_too_many_is_closed_and_the_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", MOST)
    async with served() as (server, url), held_open(url, MOST - 1, b"GET"):
        assert (await send_raw(url, GET)).status == 200

        async def gone() -> bool:
            return len(server.server_state.connections) == MOST - 1

        await until(gone)
        async with held_open(url, 1, b"GET"):
            assert (await send_raw(url, GET)).status == CLOSED
        await until(gone)
        assert (await send_raw(url, GET)).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
async def test_an_answer_that_nobody_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "UNREAD_ANSWER_SECONDS", 1)
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


def test_files_may_be_open_for_as_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 1000)
    needed = 1000 + http_server.OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed - 1, hard))
        assert http_server.connection_limit() == 1000
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (needed, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
