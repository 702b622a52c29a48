"""Nothing lost, nothing twice: what is promised of every write while the product is under fire.

One fire for all tests: a load through the edge while processes are killed and paused and cut off
from each other. `make soak` runs it for half an hour.
"""

import os
import sys

import pytest
from support.fire.fire import burn
from support.fire.outcome import Outcome, Plan

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals every process of a tree")

PLAN = Plan(
    seed=int(os.environ.get("TENANTRY_FIRE_SEED", "1")),
    seconds=float(os.environ.get("TENANTRY_FIRE_SECONDS", "75")),
    kills=40,
)


@pytest.fixture(scope="module")
async def fire(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    outcome = await burn(PLAN, tmp_path_factory.mktemp("fire"))
    sys.stdout.write(f"\n{outcome.table()}\n")
    return outcome


async def test_the_fire_was_hot(fire: Outcome) -> None:
    assert fire.kills.total() >= 40
    assert len(fire.kills) >= 7, fire.kills
    assert fire.in_doubt, "no write was left in doubt: nothing was proved of them"
    assert fire.load.answers["2xx"] > 1000


async def test_every_acknowledged_write_is_there(fire: Outcome) -> None:
    fire.kept("lost", "not asked for")


async def test_a_write_without_an_answer_is_wholly_there_or_wholly_absent(fire: Outcome) -> None:
    fire.kept("in part")


async def test_a_repeat_gets_the_first_answer_byte_for_byte(fire: Outcome) -> None:
    fire.kept("answer changed", "wrong answer")


async def test_audit_has_exactly_one_event_for_each_change(fire: Outcome) -> None:
    fire.kept("lost in audit", "duplicated in audit")
    assert not fire.dead_letters


async def test_the_trail_is_gapless_and_proven(fire: Outcome) -> None:
    fire.kept("gap in audit", "not proven")


async def test_every_receiver_saw_every_event_it_asked_for(fire: Outcome) -> None:
    fire.kept("not delivered", "wrong delivery")


async def test_the_events_of_a_resource_are_in_the_order_of_its_changes(fire: Outcome) -> None:
    fire.kept("out of order")
