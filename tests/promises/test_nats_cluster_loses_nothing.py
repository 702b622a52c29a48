"""NATS as three servers: whoever leads the stream may be killed under load, and nothing is lost."""

import sys
from pathlib import Path

import pytest
from chaos.faults import Fault
from chaos.run import chaos_run
from chaos.stack import ClusteredServers
from support.stack import tenantry
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

KILLS = 2
BETWEEN = 60
"""Answers to the load from one kill to the next."""


async def test_the_leader_of_the_stream_is_killed_under_load_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    async with chaos_run(tmp_path, servers_of=ClusteredServers) as run:
        servers = run.stack.servers
        assert isinstance(servers, ClusteredServers)
        async with run.under_load():
            admin = servers.nats_url("admin")
            spread = await tenantry("bootstrap", "--replicas=3", TENANTRY_NATS_ADMIN_URL=admin)
            assert spread.code == 0, spread.err
            for _ in range(KILLS):
                await until(servers.is_replicated, 30)
                leader = await until(servers.stream_leader)
                assert leader is not None
                await run.inject(Fault("kill", (leader,), BETWEEN))
        await run.check()
    assert run.kills.total() == KILLS
    assert run.load.answers["2xx"] > KILLS * BETWEEN / 2
    run.assert_none()
