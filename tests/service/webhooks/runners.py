"""Runs dispatchers in this process, or the whole service as a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support.owner import ENCRYPTION_KEYS, HASH_KEYS, Owner
from support.waiting import until
from tenantry.dev.health_probe import is_ready
from tenantry.servers import Servers
from tenantry.servers.ports import free_ports
from webhooks.worker.dispatcher import Dispatcher
from webhooks.worker.http_client import HttpClient


@asynccontextmanager
async def run_dispatchers(owner: Owner, count: int) -> AsyncIterator[list[Dispatcher]]:
    """As many dispatchers as replicas would run, each for itself; stopped in an orderly way."""
    dispatchers = [
        Dispatcher(owner.pool, owner.keyring, HttpClient(allow_private=True), allow_private=True)
        for _ in range(count)
    ]
    tasks = [asyncio.create_task(each.run()) for each in dispatchers]
    try:
        yield dispatchers
    finally:
        await asyncio.gather(*(each.stop() for each in dispatchers))
        for task in tasks:
            task.cancel()


@dataclass
class WebhooksProcess:
    """`python -m webhooks`; `log` is its output."""

    process: asyncio.subprocess.Process
    url: str
    log: Path


@asynccontextmanager
async def run_webhooks(servers: Servers, log: Path) -> AsyncIterator[WebhooksProcess]:
    """Runs it on a migrated database and an existing stream until it is ready; then stops it."""
    (port,) = free_ports(1)
    env = {
        "PATH": os.environ["PATH"],
        "TENANTRY_NATS_URL": servers.nats_url("webhooks"),
        "TENANTRY_DATABASE_URL": servers.database_url("webhooks"),
        "TENANTRY_HTTP_PORT": str(port),
        "TENANTRY_HASH_KEYS": HASH_KEYS,
        "TENANTRY_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
        "TENANTRY_WEBHOOKS_ALLOW_PRIVATE": "true",
    }
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "webhooks", env=env, stdout=file, stderr=file
        )

    async def ready() -> bool:
        assert process.returncode is None, f"it ended; see {log}"
        return await is_ready(port)

    try:
        await until(ready, 30)
        yield WebhooksProcess(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)
