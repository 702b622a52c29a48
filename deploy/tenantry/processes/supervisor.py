"""Child processes that must run: started, watched, restarted when they die, stopped on demand.

A child that never became ready is not restarted: its start has failed, and that is reported.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from tenantry.errors import ProgramFailed
from tenantry.processes.process import (
    Process,
    Program,
    StopSteps,
    describe_exit,
    kill_group,
    log_size,
    log_tail,
    spawn,
    stop_process,
)

POLL_SECONDS = 0.03
START_SECONDS = 60.0
SHORT_LIFE = 5.0
"""Seconds. A child that dies sooner is restarted after a pause, which doubles up to MAX_PAUSE."""
MAX_PAUSE = 3.0
TERMINATE: StopSteps = ((signal.SIGTERM, 2.5),)


class ChildListener(Protocol):
    """Is called at every death and every recovery of a child."""

    def died(self, name: str, how: str) -> None: ...
    def recovered(self, name: str, pid: int, seconds: float) -> None: ...


@dataclass(frozen=True)
class ChildSpec:
    """A program, how to see that it is ready, and how to stop it."""

    program: Program
    is_ready: Callable[[], Awaitable[bool]]
    stop_steps: StopSteps = TERMINATE


class Child:
    def __init__(self, spec: ChildSpec, listener: ChildListener | None = None) -> None:
        self.spec = spec
        self._listener = listener
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._log_start = 0
        self.ready = False

    @property
    def name(self) -> str:
        return self.spec.program.name

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    async def start(self) -> None:
        """Return when it is ready. Raises ProgramFailed when it ends first or takes too long."""
        process = await self._spawn()
        try:
            async with asyncio.timeout(START_SECONDS):
                self.ready = await self._wait_until_ready(process)
        except TimeoutError:
            raise self._failure("did not become ready") from None
        if not self.ready:
            raise self._failure(describe_exit(await process.wait()))
        self._watch = asyncio.create_task(self._keep_alive(process), name=f"watch {self.name}")

    async def stop(self, kill_now: asyncio.Event | None = None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        if self._process is not None:
            await stop_process(self._process, self.spec.stop_steps, kill_now)
        self.ready = False

    async def _spawn(self) -> Process:
        self._log_start = log_size(self.spec.program.log)
        self._process = await spawn(self.spec.program)
        return self._process

    async def _wait_until_ready(self, process: Process) -> bool:
        """False when it ends before it is ready."""
        while process.returncode is None:
            if await self.spec.is_ready():
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _keep_alive(self, process: Process) -> None:
        short_lives = 0
        started = 0.0
        while True:
            status = await process.wait()
            died = time.monotonic()
            self.ready = False
            kill_group(process.pid)  # workers that it left behind would hold its port
            self._report_death(describe_exit(status))
            short_lives = short_lives + 1 if died - started < SHORT_LIFE else 0
            if short_lives:
                await asyncio.sleep(min(0.1 * 2 ** (short_lives - 1), MAX_PAUSE))
            started = time.monotonic()
            try:
                process = await self._spawn()
            except ProgramFailed as failure:
                self._report_death(failure.outcome)
                continue
            if await self._wait_until_ready(process):
                self.ready = True
                if self._listener is not None:
                    self._listener.recovered(self.name, process.pid, time.monotonic() - died)

    def _report_death(self, how: str) -> None:
        if self._listener is not None:
            self._listener.died(self.name, how)

    def _failure(self, outcome: str) -> ProgramFailed:
        return ProgramFailed(self.name, outcome, log_tail(self.spec.program.log, self._log_start))


async def run_all(*steps: Coroutine[Any, Any, None]) -> None:
    """All at the same time. The first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
