"""A receiver of webhooks that costs next to nothing and knows when everything came.

`python -m bench.sink`: POST is answered 204; GET tells how many came, when the first and the last
did (seconds since the epoch), and how long after its own `time` each event was here; DELETE
forgets it all.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
import uvloop

from bench.product import until
from bench.yardsticks import accepts, free_port

_TIME = re.compile(rb'"time":"([^"]+)"')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Sink(asyncio.Protocol):
    came: list[tuple[float, bytes]]

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._buffer, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < whole:
                return
            request, self._buffer = self._buffer[:whole], self._buffer[whole:]
            self._answer(request, request[end + 4 :])

    def _answer(self, request: bytes, body: bytes) -> None:
        if request.startswith(b"POST"):
            self.came.append((time.time(), body))
        elif request.startswith(b"DELETE"):
            self.came.clear()
        else:
            told = json.dumps(_told(self.came)).encode()
            head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            self._transport.write(f"{head}content-length: {len(told)}\r\n\r\n".encode() + told)
            return
        self._transport.write(_NO_CONTENT)


def _told(came: list[tuple[float, bytes]]) -> dict[str, Any]:
    waits = [
        at - datetime.fromisoformat(found[1].decode()).timestamp()
        for at, body in came
        if (found := _TIME.search(body))
    ]
    ends = [came[0][0], came[-1][0]] if came else [0.0, 0.0]
    return {"count": len(came), "first": ends[0], "last": ends[1], "waits": waits}


async def serve(port: int) -> None:
    _Sink.came = []
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", port)
    await server.serve_forever()


class Sink:
    """A running sink, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def told(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as http, http.get(self.url) as answer:
            told: dict[str, Any] = await answer.json()
            return told

    async def forget(self) -> None:
        async with aiohttp.ClientSession() as http, http.delete(self.url):
            pass

    async def has(self, count: int, seconds: float = 120) -> dict[str, Any]:
        """Waits until so many have come."""
        told: dict[str, Any] = {}

        async def enough() -> bool:
            nonlocal told
            await asyncio.sleep(0.1)  # each look costs it
            told = await self.told()
            return bool(told["count"] >= count)

        await until(enough, seconds)
        return told


@asynccontextmanager
async def running() -> AsyncIterator[Sink]:
    port = free_port()
    environment = {**os.environ, "BENCH_PORT": str(port)}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sink", env=environment
    )
    try:
        await until(lambda: accepts(port))
        yield Sink(f"http://127.0.0.1:{port}/in")
    finally:
        child.kill()
        await child.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(os.environ["BENCH_PORT"])))
