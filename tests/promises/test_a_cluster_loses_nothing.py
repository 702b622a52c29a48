"""NATS as three servers: whoever leads the stream may be killed under load, and nothing is lost."""

import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession, DummyCookieJar
from support.cluster import ClusteredServers
from support.commands import tenantry
from support.fire.faults import Fault, strike
from support.fire.fire import settle_in
from support.fire.judging import judge
from support.fire.load import under_load
from support.fire.outcome import Outcome, Plan
from support.fire.stack import CabledStack, cabled_stack
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

KILLS = 2
BETWEEN = 60
"""Answers to the load from one kill to the next."""


async def burn(outcome: Outcome, folder: Path) -> None:
    """Kills the leader of the stream, waits until the three have all of it again, and so on."""
    async with (
        cabled_stack(
            folder, servers_of=ClusteredServers, TENANTRY_RATE_LIMIT="100000/second"
        ) as stack,
        ClientSession(cookie_jar=DummyCookieJar()) as http,
        AsyncExitStack() as endpoints,
    ):
        servers = stack.servers
        assert isinstance(servers, ClusteredServers)
        owns = await settle_in(outcome, stack, http, endpoints)
        async with under_load(outcome.load, owns):
            admin = servers.nats_url("admin")
            spread = await tenantry("bootstrap", "--replicas=3", TENANTRY_NATS_ADMIN_URL=admin)
            assert spread.code == 0, spread.err
            for _ in range(KILLS):
                await until(servers.is_whole, 30)
                await kill_the_leader(outcome, stack, servers, http)
        await judge(outcome, stack)
        outcome.told += [*stack.log[-100:], f"logs: {folder}"]


async def kill_the_leader(
    outcome: Outcome, stack: CabledStack, servers: ClusteredServers, http: ClientSession
) -> None:
    leader = await until(servers.leader)
    assert leader is not None
    fault = Fault("kill", (leader,), BETWEEN)
    outcome.struck.append(await strike(stack, fault, http, lambda: outcome.load.answered))


async def test_the_leader_of_the_stream_is_killed_under_load_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    outcome = Outcome(Plan(seed=1, seconds=0, kills=KILLS))
    await burn(outcome, tmp_path)
    sys.stdout.write(f"\n{outcome.table()}\n")
    assert outcome.kills.total() == KILLS
    assert outcome.load.answers["2xx"] > KILLS * BETWEEN / 2
    outcome.kept("lost", "not asked for", "in part", "answer changed", "wrong answer")
    outcome.kept("lost in audit", "duplicated in audit", "gap in audit", "not proven")
    outcome.kept("out of order")
    outcome.kept("not delivered", "wrong delivery")
    assert not outcome.dead_letters
