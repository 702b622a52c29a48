"""How a process starts, is watched and stops.

Live at once, ready when everything it needs answers. SIGTERM drains: nothing new is taken, what is
under way is finished. A background task that fails ends the process, so that it is started anew.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
import uvloop
from faststream.nats import NatsBroker
from nats.aio.client import Client
from starlette.applications import Starlette

from chassis.boundary import EXPIRE, Boundary, Routes
from chassis.broker import connect, make_broker
from chassis.database import Pool, open_pool
from chassis.health import Health
from chassis.http import HttpServer
from chassis.keys import Keys
from chassis.serve import Server
from chassis.settings import ServiceSettings, load
from chassis.telemetry import configure_logging

log = structlog.get_logger()


class Process:
    """One running service: its connections, and what runs in it."""

    def __init__(self, name: str, settings: ServiceSettings, pool: Pool) -> None:
        self.name = name
        self.settings = settings
        self.pool = pool
        self.keys = Keys(settings)
        self.broker: NatsBroker = make_broker(settings.nats_url)
        self.nats: Client
        self.health = Health()
        self._stopping = asyncio.Event()
        self._failed = False
        self._tasks: list[asyncio.Task[None]] = []
        self._on_stop: list[Callable[[], Awaitable[None]]] = []

    async def answer(self, routes: Routes, after_commit: Callable[[], None]) -> None:
        """Answers the calls of `routes` from now on."""
        server = Server(self.name, Boundary(self.pool, self.keys, after_commit), self.keys)
        await server.start(self.nats, routes)
        self.on_stop(server.stop)
        self.background("forget_answers", self._forget_answers)

    def background(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs `run` until the process stops; its failure stops the process."""

        async def watched() -> None:
            try:
                await run()
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("background_failed", task=name)
                self._failed = True
                self._stopping.set()

        self._tasks.append(asyncio.create_task(watched(), name=name))

    def on_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Called at the end, the last added first."""
        self._on_stop.append(stop)

    async def _forget_answers(self) -> None:
        """Stored answers are kept 24 hours; looked after every ten minutes."""
        while True:
            await asyncio.sleep(600)
            try:
                async with self.pool.acquire() as conn:
                    await EXPIRE.run(conn)
            except Exception:  # noqa: BLE001 - the next round does it
                log.warning("forget_answers_failed")

    async def run(self, start: Callable[["Process"], Awaitable[None]]) -> int:
        """Serves until SIGTERM; answers the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self.health.add("database", self._database)
        self.health.add("nats", self._nats)
        app = Starlette(routes=self.health.routes())
        http = HttpServer(app, self.settings.http_host, self.settings.http_port)
        serving = asyncio.create_task(http.serve())
        starting = asyncio.create_task(self._start(start))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({starting, stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        elif starting.done():
            log.error("start_failed", exc_info=starting.exception())
            self._failed = True
        starting.cancel()
        await self._stop()
        http.should_exit = True
        await serving
        log.info("stopped")
        return 1 if self._failed else 0

    async def _start(self, start: Callable[["Process"], Awaitable[None]]) -> None:
        self.nats = await connect(self.broker)
        await start(self)
        await self.broker.start()
        log.info("started", port=self.settings.http_port)

    async def _stop(self) -> None:
        for stop in reversed(self._on_stop):
            await stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(3):
                await self.broker.stop()
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()

    async def _database(self) -> dict[str, Any] | None:
        async with self.pool.acquire() as conn:
            await conn.execute("SELECT 1")
        return None

    async def _nats(self) -> dict[str, Any] | None:
        await self.nats.flush(timeout=1)
        return None


def run_service(
    name: str,
    start: Callable[[Process], Awaitable[None]],
    settings: type[ServiceSettings] = ServiceSettings,
) -> None:
    """The main function of a service: `python -m <name>`."""

    async def main() -> int:
        loaded = load(settings)
        configure_logging(name, loaded.log_level)
        pool = await open_pool(loaded.database_url, loaded.database_pool)
        return await Process(name, loaded, pool).run(start)

    sys.exit(uvloop.run(main()))
