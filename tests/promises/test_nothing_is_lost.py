"""Nothing lost, nothing twice: what is promised of every write while faults are injected.

One chaos run for all tests: a load through the edge while processes are killed, paused and cut off
from each other. `make soak` runs it for half an hour.
"""

import os
import sys
import time

import pytest
from chaos.faults import schedule
from chaos.run import ChaosRun, chaos_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals every process of a tree")

SEED = int(os.environ.get("TENANTRY_CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("TENANTRY_CHAOS_SECONDS", "75"))
KILLS = 40
"""At least, however short it is."""


@pytest.fixture(scope="module")
async def chaos(tmp_path_factory: pytest.TempPathFactory) -> ChaosRun:
    async with chaos_run(tmp_path_factory.mktemp("chaos"), seed=SEED) as run:
        faults = schedule(SEED, list(run.stack.processes), list(run.stack.proxies))
        end = time.monotonic() + SECONDS
        async with run.under_load():
            while time.monotonic() < end or run.kills.total() < KILLS:
                await run.inject(next(faults))
        await run.check()
    return run


async def test_every_process_was_killed_and_writes_were_left_in_doubt(chaos: ChaosRun) -> None:
    assert chaos.kills.total() >= KILLS
    assert len(chaos.kills) >= 7, chaos.kills
    assert chaos.in_doubt, "no write was left in doubt: nothing was proved of them"
    assert chaos.load.answers["2xx"] > 1000


async def test_every_acknowledged_write_is_there(chaos: ChaosRun) -> None:
    chaos.assert_none("lost", "not asked for")


async def test_a_write_without_an_answer_is_wholly_there_or_wholly_absent(chaos: ChaosRun) -> None:
    chaos.assert_none("in part")


async def test_a_repeat_gets_the_first_answer_byte_for_byte(chaos: ChaosRun) -> None:
    chaos.assert_none("answer changed", "wrong answer")


async def test_audit_has_exactly_one_event_for_each_change(chaos: ChaosRun) -> None:
    chaos.assert_none("lost in audit", "duplicated in audit", "dead letter")


async def test_the_trail_is_gapless_and_proven(chaos: ChaosRun) -> None:
    chaos.assert_none("gap in audit", "not proven")


async def test_every_receiver_saw_every_event_it_asked_for(chaos: ChaosRun) -> None:
    chaos.assert_none("not delivered", "wrong delivery")


async def test_the_events_of_a_resource_are_in_the_order_of_its_changes(chaos: ChaosRun) -> None:
    chaos.assert_none("out of order")
