"""HTTP by hand over a raw socket: what no client library would send."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

CLOSED = 0
HERE = "127.0.0.1"
ELSEWHERE = "127.0.0.2"
"""Another address, of a client on this machine."""


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


async def send_raw(
    url: str,
    *parts: bytes,
    pause: float = 0.0,
    seconds: float = 15.0,
    source: str = HERE,
) -> RawAnswer:
    """Sends the parts one after another and reads one answer. TimeoutError when none comes."""
    async with _sending(url, parts, pause, seconds, source) as reader:
        return await _read_answer(reader)


async def send_until_closed(url: str, *parts: bytes, pause: float, seconds: float) -> None:
    """Sends the parts and reads until the other side has had enough. TimeoutError if it has not."""
    async with _sending(url, parts, pause, seconds, HERE) as reader:
        with suppress(ConnectionError):
            await reader.read()


async def connect(
    url: str, source: str = HERE
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection from the address `source`."""
    target = urlsplit(url)
    return await asyncio.open_connection(target.hostname, target.port, local_addr=(source, 0))


@asynccontextmanager
async def held_open(
    url: str, count: int, first: bytes, *, source: str = HERE
) -> AsyncIterator[None]:
    """So many connections that have begun a request, and send no more of it."""
    opened = []
    for _ in range(count):
        _, writer = await connect(url, source)
        writer.write(first)
        opened.append(writer)
    try:
        yield
    finally:
        for writer in opened:
            writer.close()


@asynccontextmanager
async def _sending(
    url: str, parts: Iterable[bytes], pause: float, seconds: float, source: str
) -> AsyncIterator[asyncio.StreamReader]:
    async def send() -> None:
        with suppress(OSError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)

    async with asyncio.timeout(seconds):
        reader, writer = await connect(url, source)
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
