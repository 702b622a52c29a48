"""A trusted proxy speaks for its clients, as far as what it says is an address."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from aiohttp import ClientSession, DummyCookieJar, TCPConnector
from chassis.client_addresses import TrustedProxies
from chassis.http_server import HttpServer
from redis.asyncio import Redis
from security.raw_http import ELSEWHERE, send_raw
from support.api import Answer, Api, new_tenant
from support.stack import Stack, running_stack
from support.waiting import until
from tenantry.servers.ports import HOST, free_ports

RATE = 10
JUNK = (
    "unknown",
    "_hidden",
    "203.0.113.1, junk",
    "1' OR 1=1 --",
    "limit:*",
    "a" * 10_000,
    "é",
    "%",
)
NAME = re.compile(rb"limit:(address:[0-9a-f.:]+(/64)?|key_\w+|tenant:ten_\w+|operator)")


@pytest.fixture(scope="module")
async def proxied(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    settings = {
        "TENANTRY_RATE_LIMIT": f"{RATE}/second",
        "TENANTRY_TRUSTED_PROXIES": "127.0.0.1",
        "TENANTRY_CLIENT_MEMORY_MIB_PER_ADDRESS": "1",
    }
    folder = tmp_path_factory.mktemp("proxied")
    async with running_stack(folder, "--no-demo", **settings) as running:
        yield running


@pytest.fixture
async def proxy(proxied: Stack) -> AsyncIterator[Api]:
    async with ClientSession(cookie_jar=DummyCookieJar()) as http:
        yield Api(http, proxied.url)


async def ask(proxy: Api, client: str) -> Answer:
    return await proxy("GET", "/v1/admin/users", x_forwarded_for=client)


async def test_each_client_of_a_proxy_has_its_own_limit(proxy: Api) -> None:
    for number in range(5 * RATE):
        assert (await ask(proxy, f"203.0.113.{number}")).status == 401
    answers = [await ask(proxy, "198.51.100.7") for _ in range(4 * RATE)]
    assert 429 in {answer.status for answer in answers}
    assert (await ask(proxy, "198.51.100.8")).status == 401
    sites = [await ask(proxy, f"2001:db8::{number:x}") for number in range(4 * RATE)]
    assert 429 in {answer.status for answer in sites}


async def test_what_is_no_address_counts_for_the_proxy(proxy: Api, proxied: Stack) -> None:
    statuses = {(await ask(proxy, each)).status for each in JUNK * 6}
    assert statuses == {401, 429}
    environment = psutil.Process(proxied.ready["processes"]["edge"]).environ()
    client = Redis.from_url(environment["TENANTRY_REDIS_URL"])
    names = [name async for name in client.scan_iter("limit:*")]
    await client.aclose()
    assert names
    assert all(NAME.fullmatch(name) for name in names), names


async def test_one_who_is_no_proxy_speaks_for_nobody(proxied: Stack) -> None:
    statuses = []
    for number in range(4 * RATE):
        request = (
            f"GET /v1/admin/users HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.{number}.1\r\n\r\n"
        )
        statuses.append((await send_raw(proxied.url, request.encode(), source=ELSEWHERE)).status)
    assert 429 in statuses


def with_key(key: bytes, client: str) -> bytes:
    head = f"GET /v1/admin/users HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n"
    return head.encode() + b"Tenantry-Proxy-Key: " + key + b"\r\n\r\n"


async def test_who_shows_the_key_is_a_proxy_wherever_it_is(proxied: Stack) -> None:
    key = psutil.Process(proxied.ready["processes"]["edge"]).environ()["TENANTRY_PROXY_KEY"]
    for number in range(4 * RATE):
        shown = with_key(key.encode(), f"203.0.{number}.1")
        assert (await send_raw(proxied.url, shown, source=ELSEWHERE)).status == 401
    for wrong in (b"", b"x", key.encode() + b"x", b"\xff"):
        refused = await send_raw(proxied.url, with_key(wrong, "203.0.113.1"), source=ELSEWHERE)
        assert refused.status == 400


async def test_the_key_speaks_for_its_own_request_alone() -> None:
    """A connection of a pool may serve others next."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["client"][0], [name for name, _ in scope["headers"]]))
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    (port,) = free_ports(1)
    server = HttpServer(app, HOST, port, proxies=TrustedProxies(keys=["k" * 32]))
    running = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await until(started)
    url, forged = f"http://{HOST}:{port}", {"X-Forwarded-For": "203.0.113.2"}
    async with ClientSession(connector=TCPConnector(limit=1)) as http:
        for headers in ({**forged, "Tenantry-Proxy-Key": "k" * 32}, forged):
            assert (await http.get(url, headers=headers)).status == 200
        (connection,) = server.server_state.connections
        assert connection.speaks_for is None
    server.stop()
    await running
    assert [address for address, _ in seen] == ["203.0.113.2", HOST]
    assert all(b"tenantry-proxy-key" not in names for _, names in seen)


async def test_the_trail_has_the_address_of_the_client_or_of_the_proxy(
    proxy: Api, proxied: Stack
) -> None:
    async def full() -> bool:
        return (await proxy("GET", "/health", x_forwarded_for="192.0.2.9")).status == 200

    await until(full)
    tenant = await new_tenant(proxy.http, proxied.url, proxied.ready["operator_key"])
    given = {"192.0.2.1": "192.0.2.1", "192.0.2.2:80": "192.0.2.2", "junk": "127.0.0.1"}
    for number, forwarded in enumerate(given):
        body = {"email": f"a{number}@b.cd"}
        made = await tenant("POST", "/v1/admin/users", body, x_forwarded_for=forwarded)
        assert made.status == 201

    async def shown() -> list[str]:
        trail = await tenant("GET", "/v1/admin/audit?action=user.created")
        return [each["ip_address"] for each in reversed(trail.body["events"])]

    async def complete() -> bool:
        return await shown() == list(given.values())

    await until(complete)
