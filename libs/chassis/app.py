"""The life of a process: it starts, reports its health, and stops.

It is live at once, and ready when everything it needs answers. SIGTERM drains: for `drain_seconds`
it only reports that it is not ready; then it takes nothing new and finishes what has begun. A
background task that fails ends the process, so that it is started again.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
import uvloop
from nats.errors import Error as NatsError

from chassis.broker import Broker
from chassis.health import Health
from chassis.http_server import HttpServer
from chassis.nats_client import NatsClient, connect
from chassis.settings import ProcessSettings
from chassis.telemetry import LOOP_LAG, configure_logging
from chassis.tracing import configure_tracing

log = structlog.get_logger()

LAG_SECONDS = 1.0
"""How often the loop's lag is measured."""

PING_SECONDS = 60
"""Longer than a connection lives that answers no ping."""


class App:
    """What every process has: NATS, health, HTTP, background tasks and an orderly stop."""

    def __init__(self, name: str, settings: ProcessSettings, drain_seconds: float = 0) -> None:
        self.name = name
        self.nats_url = settings.nats_url
        self.nats: NatsClient
        self.broker: Broker
        self.health = Health()
        self.health.add("nats", self._check_nats)
        self._ping: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._failed = False
        self._drain_seconds = drain_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._on_reconnect: list[Callable[[], None]] = []
        self._on_stop: list[Callable[[], Awaitable[None]]] = []

    def background(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs `run` until the process stops; its failure stops the process."""

        async def watched() -> None:
            try:
                await run()
            except Exception:
                log.exception("background_failed", task=name)
                self._fail()

        self._tasks.append(asyncio.create_task(watched(), name=name))

    def every(
        self,
        seconds: float,
        name: str,
        step: Callable[[], Awaitable[object]],
        *,
        at_once: bool = False,
    ) -> None:
        """Runs `step` again and again, first after `seconds` or `at_once`; a step that fails is
        logged and the next one goes on.
        """

        async def repeat() -> None:
            if not at_once:
                await asyncio.sleep(seconds)
            while True:
                try:
                    await step()
                except Exception as error:  # noqa: BLE001 - the next round does it
                    log.warning("step_failed", task=name, error=type(error).__name__)
                await asyncio.sleep(seconds)

        self.background(name, repeat)

    def on_reconnect(self, then: Callable[[], None]) -> None:
        """Called when NATS is back: messages may have been missed."""
        self._on_reconnect.append(then)

    def _reconnected(self) -> None:
        if self._ping is not None:
            self._ping.cancel()  # its pong went with the old connection
        for then in self._on_reconnect:
            then()

    def _nats_closed(self) -> None:
        """Reconnecting is for ever, so this is the end of a drain or of all hope."""
        if not self._stopping.is_set():
            log.error("nats_closed")
            self._fail()

    def _fail(self) -> None:
        self._failed = True
        self._stopping.set()

    def on_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Called at the end, the last added first."""
        self._on_stop.append(stop)

    async def run(
        self,
        http: HttpServer,
        start: Callable[[], Awaitable[None]],
        management: HttpServer | None = None,
    ) -> int:
        """Serves until SIGTERM, and `management` to the end; returns the exit code."""
        if management is not None:
            self.background("management", management.serve)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        serving = asyncio.create_task(http.serve())
        starting = asyncio.create_task(self._start(start))
        self.background("loop_lag", _measure_lag)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({starting, stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        elif starting.done():
            log.error("start_failed", exc_info=starting.exception())
            self._failed = True
        starting.cancel()
        await self._stop(http, serving)
        log.info("stopped")
        return 1 if self._failed else 0

    async def _start(self, start: Callable[[], Awaitable[None]]) -> None:
        self.nats = await connect(self.nats_url, self._reconnected, self._nats_closed)
        self.broker = Broker(self.nats)
        await self.broker.connect()
        await start()
        # These objects stay: garbage collections need not look at them again.
        gc.collect()
        gc.freeze()
        log.info("started")

    async def _stop(self, http: HttpServer, serving: "asyncio.Task[None]") -> None:
        if self._drain_seconds and not self._failed:
            self.health.leaving = True
            http.close_connections()
            await asyncio.wait({serving}, timeout=self._drain_seconds)
        http.should_exit = True
        await serving
        for stop in reversed(self._on_stop):
            await stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(3):
                await self.broker.stop()
        except (AttributeError, OSError, NatsError) as error:  # never connected, or not now
            log.warning("nats_not_drained", error=type(error).__name__)

    async def _check_nats(self) -> None:
        """One ping at a time, never cancelled: nats-py fails at the pong of a cancelled one."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self.nats.flush(timeout=PING_SECONDS))
        ping = self._ping
        await asyncio.wait({ping})
        if ping.cancelled():
            raise ConnectionResetError
        ping.result()


async def _measure_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        LOOP_LAG.set(max(0.0, loop.time() - due))


def run_main(name: str, level: str, main: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Logging, uvloop, and the exit code of `main`."""
    configure_logging(name, level)
    configure_tracing(name)
    sys.exit(uvloop.run(main()))
