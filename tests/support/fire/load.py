"""The load: writers that go on at a steady pace, whatever happens to the stack.

A writer makes one write at a time on rows of its own, so what each must look like is known. When no
answer tells what became of a write, it repeats it or leaves it; what a write that was left may
have changed is touched no more.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from support.fire.changes import Own, next_write
from support.fire.writes import Attempt, Write

PACE_SECONDS = 0.16
PAUSE_SECONDS = (0.05, 0.4)
LONGEST_DOUBT = 90.0
REPEATS = 0.6
"""How often a writer repeats what has no final answer; else it leaves it."""
DOUBLES = 0.03
"""How often a write is sent twice at once, as by a client that does not wait."""


@dataclass
class Load:
    """What all writers did."""

    writes: list[Write] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        return self.answers.total()

    async def send(self, write: Write) -> Attempt:
        attempt = await write.send()
        self.answers[_class_of(attempt)] += 1
        return attempt

    async def until_final(self, write: Write, own: Own) -> None:
        """Repeats it until an answer tells what became of it."""
        started = time.monotonic()
        while write.final is None:
            assert time.monotonic() < started + LONGEST_DOUBT, f"no final answer: {write}"
            await asyncio.sleep(own.chance.uniform(*PAUSE_SECONDS))
            await self.send(write)

    async def go_on(self, own: Own, stop: asyncio.Event) -> None:
        """One writer."""
        while not stop.is_set():
            due = time.monotonic() + PACE_SECONDS
            write = next_write(own)
            self.writes.append(write)
            await self._carry_out(write, own)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))

    async def _carry_out(self, write: Write, own: Own) -> None:
        taken = {row: own.free.pop(row) for row in write.touched}
        own.doubtful |= taken.keys()
        twice = own.chance.random() < DOUBLES
        repeats = own.chance.random() < REPEATS
        await asyncio.gather(*(self.send(write) for _ in range(2 if twice else 1)))
        if repeats:
            await self.until_final(write, own)
        if write.final is None:
            return
        own.doubtful -= taken.keys()
        for row, mark in (taken | write.done().rows).items():
            if mark is None:
                own.deleted.append(row)
            else:
                own.free[row] = mark


def _class_of(attempt: Attempt) -> str:
    if attempt.status is None:
        return "no answer"
    if attempt.status in (503, 504, 500):
        return str(attempt.status)
    if attempt.status >= 400 and not attempt.is_final:
        return "in flight"
    return f"{attempt.status // 100}xx"


@asynccontextmanager
async def under_load(load: Load, owns: Sequence[Own]) -> AsyncIterator[None]:
    """While the body runs; a writer that fails ends it."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as writers:
        for own in owns:
            writers.create_task(load.go_on(own, stop))
        try:
            yield
        finally:
            stop.set()
