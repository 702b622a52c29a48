"""Servers of their own: what they promise is tested by killing them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from chassis import migrations, streams
from chassis.database import open_pool
from chassis.nats_client import connect
from contracts.topology import STREAM
from promises.pipeline import Pipeline
from support.servers import servers_on
from tenantry.servers import Servers


@pytest.fixture(scope="module")
async def own_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Its NATS is killed, so it is not the one that all tests share."""
    folder = tmp_path_factory.mktemp("pipeline")
    async with servers_on(folder, with_redis=False) as running:
        await asyncio.to_thread(migrations.upgrade, "identity", running.migration_url("identity"))
        yield running


@pytest.fixture
async def pipeline(own_servers: Servers) -> AsyncIterator[Pipeline]:
    pool = await open_pool(own_servers.database_url("identity"), 10)
    await pool.execute("DELETE FROM outbox")
    await pool.execute("DELETE FROM dead_letters")
    nats = await connect(own_servers.nats_url("admin"))
    with suppress(Exception):
        await nats.jetstream().delete_stream(STREAM)
    await streams.bootstrap(own_servers.nats_url("admin"))
    yield Pipeline(own_servers, pool, nats)
    with suppress(OSError):
        await nats.close()
    await pool.close()
