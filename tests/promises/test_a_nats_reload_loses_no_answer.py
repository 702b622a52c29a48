"""NATS reads its configuration again, as for a new user or certificate: no caller notices."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from chassis.nats_client import NatsClient, connect
from nats.aio.msg import Msg
from support.waiting import until
from tenantry.data_folder.folder import open_data_folder
from tenantry.data_folder.secrets import load_or_create
from tenantry.servers import Servers

SUBJECT = "tenantry.rpc.projects.get_tenant"


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    with open_data_folder(tmp_path) as data:
        servers = Servers(data, load_or_create(tmp_path / "secrets.json"))
        try:
            await servers.start_nats()
            yield servers
        finally:
            await servers.stop()


async def reload(servers: Servers) -> None:
    os.kill(servers.children["nats"].pid, signal.SIGHUP)

    async def is_done() -> bool:
        return "Reloaded server configuration" in servers.data.log("nats").read_text()

    await until(is_done)


async def answering(service: NatsClient, go_on: asyncio.Event) -> None:
    async def answer(msg: Msg) -> None:
        await go_on.wait()
        await service.publish(msg.reply, b"done")

    await service.subscribe(SUBJECT, "projects", cb=answer)
    await service.flush()


@pytest.mark.parametrize("caller", ["edge", "identity"])
async def test_an_answer_that_is_due_then_arrives(servers: Servers, caller: str) -> None:
    service, asks = await connect(servers.nats_url("projects")), None
    try:
        asks = await connect(servers.nats_url(caller))
        go_on = asyncio.Event()
        await answering(service, go_on)
        reply = await asks.publish_request(SUBJECT, b"")
        await asks.flush()
        await reload(servers)
        go_on.set()
        assert (await asyncio.wait_for(reply, 5)).data == b"done"
    finally:
        for client in filter(None, (service, asks)):
            await client.close()
