"""Load: so many requests in flight over kept connections, at as little cost of its own as may be.

The product and the yardsticks get the very same client, so that its cost weighs on both.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from yarl import URL

Make = Callable[[], bytes]
"""The bytes of the next request."""


@dataclass
class Sample:
    """What one run saw. `waits` are the times of the requests in seconds."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    wrong: int = 0
    last_wrong: bytes = b""

    @property
    def rate(self) -> float:
        return len(self.waits) / self.seconds if self.seconds else 0.0

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        if len(self.waits) < 2:
            return 0.0
        return quantiles(self.waits, n=100, method="inclusive")[percent - 1] * 1000


def request(method: str, url: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """A whole request; headers are named with underscores."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {URL(url).authority}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class _Caller(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._buffer = b""
        self._wanted = -1
        self._sent_at = 0.0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self) -> None:
        self._sent_at = time.perf_counter()
        self.transport.write(self._run.make())

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._wanted < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self._buffer.find(b"content-length: ", 0, end)
            length = int(self._buffer[at + 16 : self._buffer.index(b"\r", at)]) if at >= 0 else 0
            self._wanted = end + 4 + length
        if len(self._buffer) >= self._wanted:
            answer, self._buffer, self._wanted = self._buffer, b"", -1
            self._run.answered(self, answer, self._sent_at)

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(exc)


class _Run:
    """One measurement."""

    def __init__(self, make: Make, seconds: float, least: int = 0) -> None:
        self.make = make
        self.sample = Sample()
        self._seconds = seconds
        self._least = least
        self._started = 0.0
        self._under_way = 0
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def go(self, callers: list[_Caller]) -> Sample:
        self._started = time.perf_counter()
        self._under_way = len(callers)
        for caller in callers:
            caller.send()
        await asyncio.wait_for(self._ended, self._seconds + 120)
        self.sample.seconds = time.perf_counter() - self._started
        return self.sample

    def answered(self, caller: _Caller, answer: bytes, sent_at: float) -> None:
        now = time.perf_counter()
        self.sample.waits.append(now - sent_at)
        if answer[9:10] != b"2":
            self.sample.wrong += 1
            self.sample.last_wrong = answer
        if now - self._started < self._seconds or len(self.sample.waits) < self._least:
            caller.send()
            return
        self._under_way -= 1
        if not self._under_way and not self._ended.done():
            self._ended.set_result(None)

    def lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(error or ConnectionError("the server hung up"))


async def press(
    url: str, make: Make, in_flight: int, seconds: float, least: int = 2, *, tolerant: bool = False
) -> Sample:
    """Sends on every connection as soon as the answer before is there, `least` requests at least.

    Raises on wrong answers, unless `tolerant`.
    """
    loop = asyncio.get_running_loop()
    run = _Run(make, seconds, least)
    host, port = _address(url)
    callers = [
        (await loop.create_connection(lambda: _Caller(run), host, port))[1]
        for _ in range(in_flight)
    ]
    sample = await run.go(callers)
    for caller in callers:
        caller.transport.close()
    if sample.wrong and not tolerant:
        raise RuntimeError(f"{sample.wrong} wrong answers, such as {sample.last_wrong[:600]!r}")
    return sample


async def pace(url: str, make: Make, rate: float, seconds: float, in_flight: int = 16) -> Sample:
    """At most `rate` requests a second, evenly spread, until the time is over."""
    loop = asyncio.get_running_loop()
    host, port = _address(url)
    whole = Sample()
    started = time.perf_counter()
    due = iter(range(int(rate * seconds)))

    async def work() -> None:
        run = _Run(make, 0.0)
        caller = (await loop.create_connection(lambda: _Caller(run), host, port))[1]
        for number in due:
            await asyncio.sleep(started + number / rate - time.perf_counter())
            run = caller._run = _Run(make, 0.0)  # noqa: SLF001 - one request each
            one = await run.go([caller])
            whole.waits += one.waits
            whole.wrong += one.wrong
            if time.perf_counter() - started > seconds:
                break
        caller.transport.close()

    await asyncio.gather(*(work() for _ in range(in_flight)))
    whole.seconds = time.perf_counter() - started
    return whole


def _address(url: str) -> tuple[str, int]:
    at = URL(url)
    return at.host or "", at.port or 80
