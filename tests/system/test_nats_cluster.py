"""Three nats-servers as deploy/nats/cluster.conf has them: bootstrap and clients on them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import pytest
from chaos.stack import ClusteredServers
from chassis import streams
from chassis.nats_client import connect
from contracts.topology import STREAM
from nats.errors import TimeoutError as NatsTimeoutError
from support.stack import tenantry
from support.waiting import until
from tenantry.data_folder.folder import open_data_folder
from tenantry.data_folder.secrets import load_or_create
from tenantry.servers.ports import HOST


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusteredServers]:
    folder = tmp_path_factory.mktemp("cluster")
    with open_data_folder(folder) as data:
        servers = ClusteredServers(data, load_or_create(folder / "secrets.json"))
        try:
            await servers.start_nats()
            yield servers
        finally:
            await servers.stop()


async def replicas(cluster: ClusteredServers) -> int | None:
    async with streams.connected(cluster.nats_url("admin")) as client:
        return (await client.jetstream().stream_info(STREAM)).config.num_replicas


async def bootstrap(cluster: ClusteredServers, *options: str, **environment: str) -> None:
    admin = cluster.nats_url("admin")
    ran = await tenantry("bootstrap", *options, TENANTRY_NATS_ADMIN_URL=admin, **environment)
    assert ran.code == 0, ran.err


async def test_bootstrap_spreads_the_stream_and_never_shrinks_it_unasked(
    cluster: ClusteredServers,
) -> None:
    await bootstrap(cluster)
    assert await replicas(cluster) == 1
    await bootstrap(cluster, TENANTRY_NATS_REPLICAS="3")
    assert await replicas(cluster) == 3
    await until(cluster.is_replicated, 30)
    await bootstrap(cluster)
    assert await replicas(cluster) == 3
    await bootstrap(cluster, "--replicas=1")
    assert await replicas(cluster) == 1


async def test_more_replicas_than_servers_are_refused(cluster: ClusteredServers) -> None:
    admin = cluster.nats_url("admin")
    ran = await tenantry("bootstrap", "--replicas=5", "--json", TENANTRY_NATS_ADMIN_URL=admin)
    assert (ran.code, ran.error["code"]) == (1, "broker_away")
    assert cluster.secrets.nats["admin"] not in ran.err


async def test_the_watch_makes_a_vanished_stream_again_on_all_servers(
    cluster: ClusteredServers,
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tenantry", "bootstrap", "--watch", "--replicas=3"),
        env={"TENANTRY_NATS_ADMIN_URL": cluster.nats_url("admin")},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        watched = await asyncio.wait_for(process.stdout.readline(), 30)
        assert json.loads(watched)["event"] == "streams_watched"
        await until(cluster.is_replicated, 30)
        async with streams.connected(cluster.nats_url("admin")) as client:
            await client.jetstream().delete_stream(STREAM)
        await until(cluster.is_replicated, 30)
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 10)
    assert await replicas(cluster) == 3


async def test_a_client_that_was_told_of_one_server_goes_on_at_another(
    cluster: ClusteredServers,
) -> None:
    first, *_ = cluster.nats_url("edge").split(",")
    edge = await connect(first)

    async def has_moved() -> bool:
        where = edge.connected_url
        return edge.is_connected and where is not None and where.port != cluster.client_ports[0]

    async def knows_all() -> bool:
        return len(edge.servers) == ClusteredServers.COUNT

    try:
        await until(knows_all)
        await cluster.children["nats-1"].stop()
        await until(has_moved)
        await edge.flush(timeout=5)
    finally:
        await edge.close()
        await cluster.children["nats-1"].start()


async def test_the_system_user_sees_three_servers_and_no_event(cluster: ClusteredServers) -> None:
    url = f"nats://system:{cluster.system_password}@{HOST}:{cluster.client_ports[0]}"
    system = await connect(url)
    try:
        inbox = system.new_inbox()
        answers = await system.subscribe(inbox)
        overheard = await system.subscribe("tenantry.>")
        await system.publish("$SYS.REQ.SERVER.PING", reply=inbox)
        for _ in range(ClusteredServers.COUNT):
            await answers.next_msg(timeout=5)
        admin = await connect(cluster.nats_url("admin"))
        await admin.publish("tenantry.events.identity.user.created", b"{}")
        await admin.close()
        with pytest.raises(NatsTimeoutError):
            await overheard.next_msg(timeout=0.5)
    finally:
        await system.close()
