"""Two edges and two replicas of every service: either may be killed under load, and nobody notices.

A write is repeated at the other edge than the one that it went to, whichever replica answers there.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
from chaos.faults import Fault
from chaos.replicas import PROCESSES, ReplicatedStack, second
from chaos.run import ChaosRun, chaos_run
from chaos.workload import Writer
from chaos.writes import Write
from contracts.topology import SERVICE_NAMES
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

BETWEEN = 30
"""Answers to the load from one kill to the next."""

ONE_OF_EACH = [(name,) for name in PROCESSES]
THE_OTHERS = [tuple(map(second, SERVICE_NAMES)), (second("edge"),)]
"""The second replicas of all services at once, then the second edge: every leader dies in turn."""


def swap_edges(callers: Sequence[Writer | Write], stack: ReplicatedStack) -> None:
    """Whoever called one edge calls the other from now on."""
    for each in callers:
        is_first = each.api.url == stack.client_url
        each.api = replace(each.api, url=stack.other_url if is_first else stack.client_url)


@pytest.fixture(scope="module")
async def chaos(tmp_path_factory: pytest.TempPathFactory) -> ChaosRun:
    async with chaos_run(tmp_path_factory.mktemp("two"), stack_of=ReplicatedStack) as run:
        stack = run.stack
        assert isinstance(stack, ReplicatedStack)
        swap_edges(run.writers[::2], stack)
        async with run.under_load():
            for targets in [*ONE_OF_EACH, *THE_OTHERS]:
                await run.inject(Fault("kill", targets, BETWEEN))
                await until(stack.is_led)
        swap_edges(run.load.writes, stack)
        await run.check()
        assert await stack.is_led(), await stack.leaders()
    return run


async def test_nothing_is_lost_while_one_of_each_is_killed(chaos: ChaosRun) -> None:
    assert set(chaos.kills) == {*PROCESSES, *map(second, PROCESSES)}
    assert chaos.load.answers["2xx"] > 500
    chaos.assert_none()


async def test_a_repeat_at_the_other_edge_gets_the_first_answer(chaos: ChaosRun) -> None:
    chaos.assert_none("answer changed", "wrong answer")
    replayed = sum(each.replayed for write in chaos.load.writes for each in write.attempts)
    assert replayed > 200
