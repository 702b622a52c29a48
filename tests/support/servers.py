"""Real PostgreSQL, NATS and Redis for a test: embedded, or with TENANTRY_TEST_SERVERS=containers
from the images that docker-compose.yml names.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tenantry.servers import Servers, backing_servers

from support.compose import engine
from support.containers import ContainedServers
from support.waiting import until

KINDS: dict[str, type[Servers]] = {"embedded": Servers, "containers": ContainedServers}


@asynccontextmanager
async def servers_on(folder: Path, *, with_redis: bool = True) -> AsyncIterator[Servers]:
    """Skips the test where containers are wanted and there is nothing to run them with."""
    kind = KINDS[os.environ.get("TENANTRY_TEST_SERVERS", "embedded")]
    if kind is ContainedServers and (lacking := engine()):
        pytest.skip(f"NOTHING WAS RUN: {lacking}")
    async with backing_servers(folder, with_redis=with_redis, kind=kind) as running:
        yield running


async def kill(servers: Servers, name: str) -> None:
    """SIGKILL. It comes back: by its supervisor, or by us."""
    if isinstance(servers, ContainedServers):
        await servers.kill(name)
        return
    child = servers.children[name]

    async def is_up() -> bool:
        return child.ready

    await until(is_up)
    os.kill(child.pid, signal.SIGKILL)

    async def is_down() -> bool:
        return not child.ready

    await until(is_down)
