"""Callers of the HTTP API: a client with one credential, and bytes by hand that no client sends."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from aiohttp import ClientSession

CLOSED = 0


@dataclass
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]
    raw: bytes


@dataclass
class Api:
    """Requests with one credential (None: without)."""

    http: ClientSession
    url: str
    key: str | None = None
    tenant: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def as_key(self, key: str | None) -> "Api":
        return Api(self.http, self.url, key, self.tenant)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """`headers` are named with underscores: `if_match='"1"'`."""
        sent = dict(self.headers)
        if self.key is not None:
            sent["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        async with self.http.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "") and raw
            parsed = json.loads(raw) if is_json and "ndjson" not in answer.content_type else None
            return Answer(answer.status, parsed, answer.headers.copy(), raw)


async def new_tenant(http: ClientSession, url: str, operator_key: str) -> Api:
    """A fresh tenant and its root key."""
    operator = Api(http, url, operator_key)
    slug = f"t-{uuid4().hex}"
    made = await operator("POST", "/v1/admin/tenants", {"name": "Test", "slug": slug})
    assert made.status == 201, made.raw
    return Api(http, url, made.body["api_key"]["secret"], made.body["tenant"]["id"])


@dataclass(frozen=True)
class RawAnswer:
    """Status 0 when there was no answer and the connection was closed."""

    status: int
    head: bytes = b""
    body: bytes = b""

    @property
    def problem(self) -> Any:
        assert b"application/problem+json" in self.head, self
        return json.loads(self.body)


async def send_raw(url: str, *parts: bytes, pause: float = 0.0, seconds: float = 15.0) -> RawAnswer:
    """Sends the parts one after another and reads one answer. TimeoutError when none comes."""
    async with _sending(url, parts, pause, seconds) as reader:
        return await _read_answer(reader)


async def send_until_closed(url: str, *parts: bytes, pause: float, seconds: float) -> None:
    """Sends the parts and reads until the other side has had enough. TimeoutError if it has not."""
    async with _sending(url, parts, pause, seconds) as reader:
        with suppress(ConnectionError):
            await reader.read()


@asynccontextmanager
async def held_open(url: str, count: int, first: bytes) -> AsyncIterator[None]:
    """So many connections that have begun a request, and send no more of it."""
    target = urlsplit(url)
    opened = []
    for _ in range(count):
        _, writer = await asyncio.open_connection(target.hostname, target.port)
        writer.write(first)
        opened.append(writer)
    try:
        yield
    finally:
        for writer in opened:
            writer.close()


@asynccontextmanager
async def _sending(
    url: str, parts: Iterable[bytes], pause: float, seconds: float
) -> AsyncIterator[asyncio.StreamReader]:
    async def send() -> None:
        with suppress(OSError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)

    target = urlsplit(url)
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        sending = asyncio.create_task(send())
        try:
            yield reader
        finally:
            sending.cancel()
            writer.close()
            with suppress(asyncio.CancelledError):
                await sending


async def _read_answer(reader: asyncio.StreamReader) -> RawAnswer:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return RawAnswer(CLOSED)
    status = int(head.split(b" ", 2)[1])
    if status == 100:
        return await _read_answer(reader)
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    try:
        return RawAnswer(status, head, await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return RawAnswer(CLOSED, head)
