"""A child that must be there: started, watched, restarted when it dies, stopped when told.

A child that never became ready is not restarted: that is a start that failed, and it is reported.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from tenantry.problems import ProgramFailed
from tenantry.process import (
    Program,
    describe_exit,
    end,
    kill_group,
    log_size,
    log_tail,
    spawn,
)

POLL = 0.03
START_LIMIT = 60.0
SHORT_LIFE = 5.0
"""Seconds. A child that dies sooner is restarted ever more slowly, up to LONGEST_PAUSE."""
LONGEST_PAUSE = 3.0
TERMINATE = ((signal.SIGTERM, 2.5),)


class Listener(Protocol):
    """Hears of every death and every recovery."""

    def died(self, name: str, how: str) -> None: ...
    def recovered(self, name: str, pid: int, seconds: float) -> None: ...


@dataclass(frozen=True)
class Duty:
    """A program with the knowledge of when it is ready and how it is stopped."""

    program: Program
    is_ready: Callable[[], Awaitable[bool]]
    stop_steps: tuple[tuple[signal.Signals, float], ...] = TERMINATE


class Child:
    def __init__(self, duty: Duty, listener: Listener | None = None) -> None:
        self.duty = duty
        self._listener = listener
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._log_start = 0
        self.ready = False

    @property
    def name(self) -> str:
        return self.duty.program.name

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    async def start(self) -> None:
        """Returns when it is ready. Raises ProgramFailed when it ends first or takes too long."""
        process = await self._spawn()
        try:
            async with asyncio.timeout(START_LIMIT):
                self.ready = await self._becomes_ready(process)
        except TimeoutError:
            raise self._failure("did not become ready") from None
        if not self.ready:
            raise self._failure(describe_exit(await process.wait()))
        self._watch = asyncio.create_task(self._keep_alive(process), name=f"watch {self.name}")

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        if self._process is not None:
            await end(self._process, self.duty.stop_steps, hurry)
        self.ready = False

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._log_start = log_size(self.duty.program.log)
        self._process = await spawn(self.duty.program)
        return self._process

    async def _becomes_ready(self, process: asyncio.subprocess.Process) -> bool:
        """False when it ends before."""
        while process.returncode is None:
            if await self.duty.is_ready():
                return True
            await asyncio.sleep(POLL)
        return False

    async def _keep_alive(self, process: asyncio.subprocess.Process) -> None:
        quick_deaths = 0
        started = 0.0
        while True:
            status = await process.wait()
            died = time.monotonic()
            self.ready = False
            kill_group(process.pid)  # workers that it left behind hold its port
            self._tell_death(describe_exit(status))
            quick_deaths = quick_deaths + 1 if died - started < SHORT_LIFE else 0
            if quick_deaths:
                await asyncio.sleep(min(0.1 * 2 ** (quick_deaths - 1), LONGEST_PAUSE))
            started = time.monotonic()
            try:
                process = await self._spawn()
            except ProgramFailed as failure:
                self._tell_death(failure.what)
                continue
            if await self._becomes_ready(process):
                self.ready = True
                if self._listener is not None:
                    self._listener.recovered(self.name, process.pid, time.monotonic() - died)

    def _tell_death(self, how: str) -> None:
        if self._listener is not None:
            self._listener.died(self.name, how)

    def _failure(self, what: str) -> ProgramFailed:
        return ProgramFailed(self.name, what, log_tail(self.duty.program.log, self._log_start))


async def together(*steps: Coroutine[Any, Any, None]) -> None:
    """All at once. The first failure ends the others and is the one that is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
