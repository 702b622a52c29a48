"""A rolling upgrade: the schema is expanded under load, and this release goes on as the older one.

Processes that ran before and processes that start afterwards both work on what the next release
made of the tables. docs/upgrading.md says what such a step may do.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession, DummyCookieJar
from chassis import migrations
from sqlalchemy.exc import DBAPIError
from support.fire.faults import Fault, strike
from support.fire.fire import settle_in
from support.fire.judging import judge
from support.fire.load import under_load
from support.fire.outcome import Outcome, Plan
from support.fire.stack import CabledStack, cabled_stack
from support.later_release import later_release
from support.waiting import until
from tenantry.data_folder.secrets import SERVICES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

BETWEEN = 60
_EXPANDED = """
SELECT count(*) FROM information_schema.columns WHERE column_name = 'later_count'
"""


async def expand(stack: CabledStack, service: str) -> None:
    """As the Job does it: once more when it met the load in the wrong moment."""

    async def done() -> bool:
        try:
            await asyncio.to_thread(
                migrations.upgrade, service, stack.servers.migration_url(service)
            )
        except DBAPIError as error:
            stack.note(f"{service} was not expanded: {error}")
            return False
        return True

    await until(done, 60)


async def burn(outcome: Outcome, folder: Path) -> None:
    def answered() -> int:
        return outcome.load.answered

    async with (
        cabled_stack(folder, TENANTRY_RATE_LIMIT="100000/second") as stack,
        ClientSession(cookie_jar=DummyCookieJar()) as http,
        AsyncExitStack() as endpoints,
    ):
        owns = await settle_in(outcome, stack, http, endpoints)
        async with under_load(outcome.load, owns):
            await strike(stack, Fault("kill", ("edge",), BETWEEN), http, answered)
            with later_release(folder):
                for service in SERVICES:
                    await expand(stack, service)
            outcome.struck.append(
                await strike(stack, Fault("kill", SERVICES, BETWEEN), http, answered)
            )
            goal = answered() + BETWEEN

            async def reached() -> bool:
                return answered() > goal

            await until(reached)
        await judge(outcome, stack)
        for service in SERVICES:
            conn = await asyncpg.connect(stack.servers.migration_url(service))
            assert await conn.fetchval(_EXPANDED) > 5
            await conn.close()
        outcome.told += [*stack.log[-100:], f"logs: {folder}"]


async def test_this_release_works_on_the_schema_of_the_next(tmp_path: Path) -> None:
    outcome = Outcome(Plan(seed=1, seconds=0, kills=0))
    await burn(outcome, tmp_path)
    sys.stdout.write(f"\n{outcome.table()}\n")
    assert outcome.load.answers["2xx"] > 2 * BETWEEN
    outcome.kept("lost", "not asked for", "in part", "answer changed", "wrong answer")
    outcome.kept("lost in audit", "duplicated in audit", "gap in audit", "not proven")
    outcome.kept("out of order", "not delivered", "wrong delivery")
    assert not outcome.dead_letters
