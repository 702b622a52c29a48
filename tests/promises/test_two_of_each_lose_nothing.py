"""Two edges and two replicas of every service: either may be killed under load, and nobody notices.

A write is repeated at the other edge than the one that it went to, whichever replica answers there.
"""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession, DummyCookieJar
from support.api import Api
from support.fire.changes import Own
from support.fire.faults import Fault, strike
from support.fire.fire import settle_in
from support.fire.judging import judge
from support.fire.load import under_load
from support.fire.outcome import Outcome, Plan
from support.fire.stack import cabled_stack
from support.fire.writes import Write
from support.replicas import PROCESSES, ReplicatedStack, twin
from support.waiting import until
from tenantry.data_folder.secrets import SERVICES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

BETWEEN = 30
"""Answers to the load from one kill to the next."""
ONE_OF_EACH = [(name,) for name in PROCESSES]
ITS_TWINS = [tuple(map(twin, SERVICES)), (twin("edge"),)]
"""The twins of all services at once, then the twin of the edge: whoever leads is killed in turn."""


async def burn(outcome: Outcome, folder: Path) -> None:
    async with (
        cabled_stack(
            folder, stack_of=ReplicatedStack, TENANTRY_RATE_LIMIT="100000/second"
        ) as stack,
        ClientSession(cookie_jar=DummyCookieJar()) as http,
        AsyncExitStack() as endpoints,
    ):
        assert isinstance(stack, ReplicatedStack)
        owns = await settle_in(outcome, stack, http, endpoints)
        swap_edges(owns[::2], stack)
        async with under_load(outcome.load, owns):
            for targets in [*ONE_OF_EACH, *ITS_TWINS]:
                fault = Fault("kill", targets, BETWEEN)
                outcome.struck.append(
                    await strike(stack, fault, http, lambda: outcome.load.answered)
                )
                await until(stack.is_led)
        swap_edges(outcome.load.writes, stack)
        await judge(outcome, stack)
        assert await stack.is_led(), await stack.leaders()
        outcome.told += [*stack.log[-100:], f"logs: {folder}"]


def swap_edges(callers: Sequence[Own | Write], stack: ReplicatedStack) -> None:
    """Whoever called one edge calls the other from now on."""
    for each in callers:
        api = each.api
        url = stack.twin_url if api.url == stack.client_url else stack.client_url
        each.api = Api(api.http, url, api.key, api.tenant)


@pytest.fixture(scope="module")
async def fire(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    outcome = Outcome(Plan(seed=1, seconds=0, kills=len(ONE_OF_EACH)))
    await burn(outcome, tmp_path_factory.mktemp("two"))
    sys.stdout.write(f"\n{outcome.table()}\n")
    return outcome


async def test_nothing_is_lost_while_one_of_each_is_killed(fire: Outcome) -> None:
    assert set(fire.kills) == {*PROCESSES, *map(twin, PROCESSES)}
    assert fire.load.answers["2xx"] > 500
    fire.kept("lost", "not asked for", "in part")
    fire.kept("lost in audit", "duplicated in audit", "gap in audit", "not proven")
    fire.kept("out of order", "not delivered", "wrong delivery")
    assert not fire.dead_letters


async def test_a_repeat_at_the_other_edge_gets_the_first_answer(fire: Outcome) -> None:
    fire.kept("answer changed", "wrong answer")
    replayed = sum(each.replayed for write in fire.load.writes for each in write.attempts)
    assert replayed > 200
