"""HTTP by hand over a raw socket: what no client library would send."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

CLOSED = 0


@dataclass(frozen=True)
class Said:
    """The answer; status 0 when there was none and the connection was closed."""

    status: int
    head: bytes = b""
    body: bytes = b""

    @property
    def problem(self) -> Any:
        assert b"application/problem+json" in self.head, self
        return json.loads(self.body)


async def say(url: str, *parts: bytes, pause: float = 0.0, seconds: float = 15.0) -> Said:
    """Sends the parts one after another and reads one answer. TimeoutError when none comes."""
    target = urlsplit(url)
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        sending = asyncio.create_task(_send(writer, parts, pause))
        try:
            return await _answer(reader)
        finally:
            sending.cancel()
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await sending


async def until_closed(url: str, *parts: bytes, pause: float, seconds: float) -> None:
    """Sends the parts and reads until the other side has had enough. TimeoutError if it has not."""
    target = urlsplit(url)
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        sending = asyncio.create_task(_send(writer, parts, pause))
        try:
            with contextlib.suppress(ConnectionError):
                await reader.read()
        finally:
            sending.cancel()
            writer.close()


async def _send(writer: asyncio.StreamWriter, parts: Iterable[bytes], pause: float) -> None:
    with contextlib.suppress(OSError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)


async def _answer(reader: asyncio.StreamReader) -> Said:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Said(CLOSED)
    status = int(head.split(b" ", 2)[1])
    if status == 100:
        return await _answer(reader)
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    try:
        return Said(status, head, await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return Said(CLOSED, head)


@contextlib.asynccontextmanager
async def held_open(url: str, count: int, first: bytes) -> AsyncIterator[None]:
    """So many connections that have begun to say something, and say no more."""
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
