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
from functools import partial
from typing import Any

import structlog
import uvloop

from chassis.health import Health
from chassis.http_server import HttpServer
from chassis.telemetry import BUILD_INFO, LOOP_LAG, VERSION, configure_logging
from chassis.tracing import configure_tracing

log = structlog.get_logger()

CANCEL_SECONDS = 1.0
"""After so long a task is cancelled again: `asyncio.wait_for` of Python 3.11, in libraries too, can
lose a cancellation that comes at the moment in which what it waits for is there.
"""
LAG_SECONDS = 1.0
"""How often the loop's lag is measured."""


class Process:
    """What every process has: health, HTTP, background tasks and an orderly stop."""

    def __init__(self, name: str, drain_seconds: float = 0) -> None:
        self.name = name
        self.health = Health()
        self._stopping = asyncio.Event()
        self._failed = False
        self._drain_seconds = drain_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._on_stop: list[Callable[[], Awaitable[None]]] = []

    def background(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs `run` until the process stops; its failure stops the process."""

        async def watched() -> None:
            try:
                await run()
            except Exception:
                log.exception("background_failed", task=name)
                self.fail()

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
        self.repeat(name, step, partial(asyncio.sleep, seconds), at_once=at_once)

    def repeat(
        self,
        name: str,
        step: Callable[[], Awaitable[object]],
        pause: Callable[[], Awaitable[object]],
        *,
        at_once: bool = False,
    ) -> None:
        """The same with any `pause` between two steps."""

        async def repeat() -> None:
            if not at_once:
                await pause()
            while True:
                try:
                    await step()
                except Exception as error:  # noqa: BLE001 - the next round does it
                    log.warning("step_failed", task=name, error=type(error).__name__)
                await pause()

        self.background(name, repeat)

    def on_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Called at the end, the last added first."""
        self._on_stop.append(stop)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def fail(self) -> None:
        """Ends the process with exit code 1."""
        self._failed = True
        self._stopping.set()

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

    async def connect(self) -> None:
        """Called before it starts: what it talks to."""

    async def disconnect(self) -> None:
        """Called when everything else has stopped."""

    async def _start(self, start: Callable[[], Awaitable[None]]) -> None:
        await self.connect()
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
        http.stop()
        await serving
        for stop in reversed(self._on_stop):
            await stop()
        running = set(self._tasks)
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=CANCEL_SECONDS)
        await self.disconnect()


async def _measure_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        LOOP_LAG.set(max(0.0, loop.time() - due))


def run_main(name: str, level: str, main: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Logging, uvloop, and the exit code of `main`."""
    configure_logging(name, level)
    BUILD_INFO.labels(name, VERSION).set(1)
    configure_tracing(name)
    sys.exit(uvloop.run(main()))
