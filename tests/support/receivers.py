"""A customer's endpoint: a real HTTP server on loopback that remembers what it was sent."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """One POST as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answer` decides what is said; 204 unless a test says otherwise."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answer: Answer | None = None
    status: int = 204

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, await request.read()))
        if self.answer is not None:
            return await self.answer(request)
        return web.Response(status=self.status)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Listening on a free port of 127.0.0.1."""
    here = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", here.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    here.url = f"http://127.0.0.1:{port}/in"
    try:
        yield here
    finally:
        await runner.cleanup()
