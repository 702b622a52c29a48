"""What is done to a running stack, in an order that the seed alone decides.

Each round kills every process once, one to three at a time, pauses one past its time-outs and cuts
one pair off from each other. The next fault comes when the stack is well again.
"""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import aiohttp

from support.fire.stack import CabledStack, Pair
from support.waiting import until

RECOVERY_LIMIT = 45.0
AT_ONCE = (1, 2, 2, 3)
LONGEST_RUN_UP = 40
"""Answers to the load before a fault strikes: it meets the stack at any moment of its work."""


@dataclass(frozen=True)
class Fault:
    """`kind` is kill, pause, tear or silence; `targets` are processes, or the ends of a cable."""

    kind: str
    targets: tuple[str, ...]
    after: int
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind} {'-'.join(self.targets)}{lasting}"


@dataclass(frozen=True)
class Struck:
    """A fault that is over; `recovery` is the time from its end until all was well."""

    fault: Fault
    recovery: float


def schedule(seed: int, processes: Sequence[str], pairs: Sequence[Pair]) -> Iterator[Fault]:
    """Endless."""
    chance = random.Random(seed)
    while True:
        victims = chance.sample(processes, len(processes))
        round_ = []
        while victims:
            count = chance.choice(AT_ONCE)
            targets, victims = tuple(victims[:count]), victims[count:]
            round_.append(("kill", targets, 0.0))
        # Past the ask's 1.8 s and, mostly, the stream's 5 s for an ack.
        round_.append(("pause", (chance.choice(processes),), chance.uniform(2.5, 8)))
        kind, longest = chance.choice([("tear", 3.0), ("silence", 7.0)])
        round_.append((kind, chance.choice(pairs), chance.uniform(0.2, longest)))
        chance.shuffle(round_)
        for kind, targets, seconds in round_:
            yield Fault(kind, targets, chance.randint(1, LONGEST_RUN_UP), seconds)


async def strike(
    stack: CabledStack, fault: Fault, http: aiohttp.ClientSession, answered: Callable[[], int]
) -> Struck:
    """Waits for its moment, does it, ends it, and waits until all is well again."""
    goal = answered() + fault.after

    async def reached() -> bool:
        return answered() >= goal

    await until(reached, RECOVERY_LIMIT)
    stack.note(str(fault))
    await _inflict(stack, fault)
    ended = time.monotonic()
    try:
        await until(lambda: stack.is_well(http), RECOVERY_LIMIT)
    except AssertionError:
        ailing = f"not well {RECOVERY_LIMIT} s after: {fault}: {stack.ailing}"
        raise AssertionError(ailing) from None
    recovery = time.monotonic() - ended
    stack.note(f"well again after {recovery:.2f} s; last was {stack.ailing}")
    return Struck(fault, recovery)


async def _inflict(stack: CabledStack, fault: Fault) -> None:
    if fault.kind == "kill":
        for name in fault.targets:
            stack.kill(name)
    elif fault.kind == "pause":
        (name,) = fault.targets
        stack.hang(name, signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        stack.hang(name, signal.SIGCONT)
    else:
        near, far = fault.targets
        cable = stack.cables[near, far]
        cable.tear() if fault.kind == "tear" else cable.silence()
        await asyncio.sleep(fault.seconds)
        cable.mend()
