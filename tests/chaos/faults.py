"""Faults and their schedule, which the seed alone decides.

Each round kills every process once, one to three at a time, pauses one past its timeouts and cuts
or freezes one proxy. The next fault comes when the stack is healthy again.
"""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chaos.stack import Pair, ProxiedStack
from support.stack import signal_tree
from support.waiting import until

RECOVERY_LIMIT = 45.0
AT_ONCE = (1, 2, 2, 3)
LONGEST_DELAY = 40
"""Answers to the load before a fault: it meets the stack at any moment of its work."""


@dataclass(frozen=True)
class Fault:
    """`kind` is kill, pause, cut or freeze; `targets` are processes, or the ends of a proxy.

    `after` counts answers to the load, `seconds` is how long it lasts.
    """

    kind: str
    targets: tuple[str, ...]
    after: int
    seconds: float = 0.0

    def __str__(self) -> str:
        duration = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind} {'-'.join(self.targets)}{duration}"


@dataclass(frozen=True)
class Recovery:
    """`seconds` from the end of the fault until the stack was healthy."""

    fault: Fault
    seconds: float


def schedule(seed: int, processes: Sequence[str], pairs: Sequence[Pair]) -> Iterator[Fault]:
    """Endless."""
    chance = random.Random(seed)
    while True:
        victims = chance.sample(processes, len(processes))
        faults = []
        while victims:
            count = chance.choice(AT_ONCE)
            faults.append(("kill", tuple(victims[:count]), 0.0))
            victims = victims[count:]
        # Past a request's 1.8 s and, mostly, the stream's 5 s for an ack.
        faults.append(("pause", (chance.choice(processes),), chance.uniform(2.5, 8)))
        kind, longest = chance.choice([("cut", 3.0), ("freeze", 7.0)])
        faults.append((kind, chance.choice(pairs), chance.uniform(0.2, longest)))
        chance.shuffle(faults)
        for kind, targets, seconds in faults:
            yield Fault(kind, targets, chance.randint(1, LONGEST_DELAY), seconds)


async def inject_fault(stack: ProxiedStack, fault: Fault, answered: Callable[[], int]) -> Recovery:
    """Waits for its moment, injects it, ends it, and waits until the stack is healthy again."""
    goal = answered() + fault.after

    async def is_due() -> bool:
        return answered() >= goal

    await until(is_due, RECOVERY_LIMIT)
    stack.note(str(fault))
    await _inject(stack, fault)
    ended = time.monotonic()
    await until(stack.is_healthy, RECOVERY_LIMIT, why=lambda: f"after {fault}: {stack.unhealthy}")
    seconds = time.monotonic() - ended
    stack.note(f"healthy again after {seconds:.2f} s; last was {stack.unhealthy}")
    return Recovery(fault, seconds)


async def _inject(stack: ProxiedStack, fault: Fault) -> None:
    if fault.kind == "kill":
        for name in fault.targets:
            stack.kill(name)
    elif fault.kind == "pause":
        (name,) = fault.targets
        signal_tree(stack.processes[name].pid, signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        signal_tree(stack.processes[name].pid, signal.SIGCONT)
    else:
        near, far = fault.targets
        proxy = stack.proxies[near, far]
        proxy.cut() if fault.kind == "cut" else proxy.freeze()
        await asyncio.sleep(fault.seconds)
        proxy.restore()
