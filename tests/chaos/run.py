"""A chaos run: a stack, a load, faults under it, and the checks once all is quiet."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, DummyCookieJar, TCPConnector
from chaos import checks
from chaos.checks import Violation
from chaos.faults import Fault, Recovery, inject_fault
from chaos.snapshot import (
    Deliveries,
    Snapshot,
    counted_deliveries,
    find_dead_letters,
    find_events,
    take_snapshot,
    until_quiet,
)
from chaos.stack import ProxiedStack, proxied_stack
from chaos.workload import Load, Writer
from chaos.writes import Write
from support.api import new_tenant
from support.waiting import until

TENANTS = 3
WRITERS = 3
"""Of each tenant."""
DELIVERY_LIMIT = 150.0
"""A delivery whose sender was killed waits for the end of its lease of a minute."""
REPEATED = 500
"""Writes with a final answer that are repeated at the end, besides all in doubt."""
AT_ONCE = 8
EXPLAINED = 6
"""Violations whose events are followed through the tables."""
SHOWN = 8
"""Violations of one kind that a failure names."""


@dataclass
class ChaosRun:
    """One run. `notes` explain a failure."""

    seed: int
    stack: ProxiedStack
    load: Load = field(default_factory=Load)
    writers: list[Writer] = field(default_factory=list)
    deliveries: dict[str, Deliveries] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    in_doubt: int = 0
    seconds: float = 0.0
    quiet_after: float = 0.0

    @property
    def kills(self) -> Counter[str]:
        """By target."""
        faults = [each.fault for each in self.recoveries if each.fault.kind == "kill"]
        return Counter(name for fault in faults for name in fault.targets)

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        began = time.monotonic()
        async with self.load.running(self.writers):
            yield
        self.seconds = time.monotonic() - began

    async def inject(self, fault: Fault) -> None:
        recovery = await inject_fault(self.stack, fault, lambda: self.load.answered)
        self.recoveries.append(recovery)

    async def check(self) -> None:
        """Waits for quiet, looks, repeats what is in doubt, looks again, compares, and reports."""
        writes = self.load.writes
        doubtful = [write for write in writes if write.final is None]
        settled = [write for write in writes if write.final is not None]
        began = time.monotonic()
        await until_quiet(self.stack)
        self.in_doubt, self.quiet_after = len(doubtful), time.monotonic() - began
        done, self.violations = checks.check_unanswered(doubtful, await self._look())
        await self._repeat(doubtful)
        sample = random.Random(self.seed).sample(settled, min(REPEATED, len(settled)))
        await self._repeat(doubtful + sample)
        await until_quiet(self.stack)
        self.snapshots = await self._look()
        self.violations += checks.check_answers(writes, done)
        self.violations += checks.check_rows(writes, self.snapshots)
        self.violations += checks.check_events(writes, self.snapshots)
        self.violations += checks.check_trail(self.snapshots)
        self.violations += checks.check_order(writes, self.snapshots)
        self.violations += await self._undelivered()
        for deliveries in self.deliveries.values():
            self.violations += checks.check_deliveries(deliveries, self.snapshots)
        dead_letters = await find_dead_letters(self.stack)
        self.violations += [Violation("dead letter", each) for each in dead_letters]
        await self._explain()
        sys.stdout.write("\n" + "".join(f"  {name:<26}{value}\n" for name, value in self._rows()))

    def assert_none(self, *kinds: str) -> None:
        """Raises AssertionError for violations of these kinds; of any kind, if none is named."""
        found = [each for each in self.violations if each.kind in kinds or not kinds]
        lines = [f"{len(found)} violations, seed {self.seed}"]
        for each in found[:SHOWN]:
            lines += [f"{each.kind}: {each.text}", *(f"    {write}" for write in each.writes)]
        assert not found, "\n".join([*lines, *self.notes])

    async def _look(self) -> dict[str, Snapshot]:
        apis = {write.tenant: write.api for write in self.load.writes}
        return {tenant: await take_snapshot(api) for tenant, api in apis.items()}

    async def _repeat(self, writes: Sequence[Write]) -> None:
        """Each once more, with its key; the stack is healthy: no answer is no excuse."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def repeat(write: Write) -> None:
            async with slots:
                await self.load.send(write)

        await asyncio.gather(*map(repeat, writes))

    async def _undelivered(self) -> Iterable[Violation]:
        """Waits for what webhooks must be sent."""
        webhooks = checks.webhooks_of(self.load.writes, self.snapshots)
        expected = checks.expected_deliveries(webhooks, self.load.writes, self.snapshots)
        missing = set(expected)

        async def all_came() -> bool:
            for deliveries in self.deliveries.values():
                for path, accepted in deliveries.accepted.items():
                    missing.difference_update((path, event) for event in accepted)
            return not missing

        with suppress(AssertionError):
            await until(all_came, DELIVERY_LIMIT)
        return [
            Violation("not delivered", f"{event} at {path}", (expected[path, event],))
            for path, event in missing
        ]

    async def _explain(self) -> None:
        for each in self.violations[:EXPLAINED]:
            self.notes.append(f"events of {each.kind} {each.text}:")
            for write in each.writes:
                self.notes += [f"    {line}" for line in await find_events(self.stack, write)]
        self.notes += [*self.stack.log[-400:], f"logs: {self.stack.servers.data.root}"]

    def _rows(self) -> Iterator[tuple[str, Any]]:
        """What happened, a line each."""
        yield "seed", self.seed
        yield "seconds under load", round(self.seconds)
        yield "kills", self.kills.total()
        yield from ((f"  {name}", count) for name, count in sorted(self.kills.items()))
        kinds = Counter(each.fault.kind for each in self.recoveries)
        yield "pauses, cuts, freezes", f"{kinds['pause']}, {kinds['cut']}, {kinds['freeze']}"
        yield "writes", len(self.load.writes)
        yield "  left in doubt", self.in_doubt
        for name, count in sorted(self.load.answers.items()):
            yield f"  answers {name}", count
        yield "events in audit", sum(len(each.trail) for each in self.snapshots.values())
        yield "deliveries", sum(each.total for each in self.deliveries.values())
        yield "  delivered again", sum(each.repeats for each in self.deliveries.values())
        yield "  refused once", sum(len(each.refused) for each in self.deliveries.values())
        found = Counter(each.kind for each in self.violations)
        yield "lost", found["lost"] + found["lost in audit"] + found["not delivered"]
        yield "duplicated", found["duplicated in audit"] + found["answer changed"]
        yield "out of order", found["out of order"]
        yield from ((f"  {kind}", count) for kind, count in sorted(found.items()))
        yield "dead letters", found["dead letter"]
        for slowest in sorted(self.recoveries, key=lambda each: each.seconds)[-1:]:
            yield "slowest recovery", f"{slowest.seconds:.2f} s after {slowest.fault}"
        yield "quiet after the load", f"{self.quiet_after:.2f} s"


@asynccontextmanager
async def chaos_run(folder: Path, *, seed: int = 1, **options: Any) -> AsyncIterator[ChaosRun]:
    """A stack with tenants, each with its writers and an endpoint that gets all events.

    `options` are those of `proxied_stack`. An AssertionError names the seed and what happened.
    """
    async with (
        proxied_stack(folder, **options) as stack,
        ClientSession(cookie_jar=DummyCookieJar(), connector=TCPConnector(limit=0)) as http,
        AsyncExitStack() as endpoints,
    ):
        run = ChaosRun(seed, stack)
        try:
            for _ in range(TENANTS):
                operator_key = stack.servers.secrets.operator_key
                api = await new_tenant(http, stack.client_url, operator_key)
                deliveries = await endpoints.enter_async_context(counted_deliveries())
                run.deliveries[api.tenant] = deliveries
                for _ in range(WRITERS):
                    number = len(run.writers)
                    chance = random.Random(f"{seed} {number}")
                    run.writers.append(Writer(api, f"writer{number}", chance, deliveries.url))
                subscription = run.writers[-1].subscribe_to_all()
                run.load.writes.append(subscription)
                await run.load.send(subscription)
            yield run
        except (AssertionError, ExceptionGroup) as failure:
            happened = "\n".join(stack.log[-60:])
            message = f"seed {seed}\n{happened}\n{failure!r}\nlogs: {folder}"
            raise AssertionError(message) from failure
