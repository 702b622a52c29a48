"""After the fire: wait for quiet, look, repeat what is in doubt, look again, and compare."""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from support.api import Api
from support.fire import verdict
from support.fire.evidence import dead_letters, way_of
from support.fire.load import Load
from support.fire.outcome import Outcome
from support.fire.shown import Shown, calm, shown
from support.fire.stack import CabledStack
from support.fire.verdict import Broken
from support.fire.writes import Write
from support.waiting import until

CALM_LIMIT = 90.0
HEARD_LIMIT = 150.0
"""A delivery whose sender was killed waits for the end of its lease of a minute."""
REPEATED = 500
"""Writes with a final answer that are repeated at the end, besides all in doubt."""
AT_ONCE = 8
EXPLAINED = 6
"""Broken promises whose events are followed through the tables."""


async def judge(outcome: Outcome, stack: CabledStack) -> None:
    """Leaves in the outcome what is there and which promises were broken."""
    load = outcome.load
    writes = load.writes
    apis = {write.tenant: write.api for write in writes}.values()
    doubtful = [write for write in writes if write.final is None]
    settled = [write for write in writes if write.final is not None]
    began = time.monotonic()
    await until(lambda: calm(stack), CALM_LIMIT)
    outcome.in_doubt, outcome.calm_after = len(doubtful), time.monotonic() - began
    there, broken = verdict.wholly_there_or_absent(doubtful, await _look(apis))
    chance = random.Random(outcome.plan.seed)
    await _repeat(load, doubtful)
    await _repeat(load, doubtful + chance.sample(settled, min(REPEATED, len(settled))))
    await until(lambda: calm(stack), CALM_LIMIT)
    outcome.shown = await _look(apis)
    broken += verdict.same_answers(writes, there)
    broken += verdict.rows_are_there(writes, outcome.shown)
    broken += verdict.one_event_each(writes, outcome.shown)
    broken += verdict.gapless_and_proven(outcome.shown)
    broken += verdict.in_order(writes, outcome.shown)
    broken += await _undelivered(outcome)
    for hearing in outcome.hearings.values():
        broken += verdict.made_up(outcome.shown, hearing)
    outcome.broken = broken
    outcome.dead_letters = await dead_letters(stack)
    await _explain(outcome, stack)


async def _look(apis: Iterable[Api]) -> dict[str, Shown]:
    return {api.tenant: await shown(api) for api in apis}


async def _repeat(load: Load, writes: Sequence[Write]) -> None:
    """Each once more, with its key; the stack is well, so there is no excuse for no answer."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def again(write: Write) -> None:
        async with slots:
            await load.send(write)

    await asyncio.gather(*map(again, writes))


async def _undelivered(outcome: Outcome) -> list[Broken]:
    writes, all_shown = outcome.load.writes, outcome.shown
    due = verdict.due(verdict.hooks_of(writes, all_shown), writes, all_shown)
    missing = set(due)

    async def all_heard() -> bool:
        for hearing in outcome.hearings.values():
            for path, events in hearing.heard.items():
                missing.difference_update((path, event) for event in events)
        return not missing

    with suppress(AssertionError):
        await until(all_heard, HEARD_LIMIT)
    return [
        Broken("not delivered", f"{event} at {path}", (due[path, event],))
        for path, event in missing
    ]


async def _explain(outcome: Outcome, stack: CabledStack) -> None:
    for each in outcome.broken[:EXPLAINED]:
        outcome.told.append(f"way of {each.kind} {each.text}:")
        for write in each.writes:
            outcome.told += [f"    {at}" for at in await way_of(stack, write)]
    outcome.told += [f"dead letter: {each}" for each in outcome.dead_letters]
