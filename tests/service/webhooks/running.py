"""Webhooks as a process of its own, as in production."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support.owner import ENCRYPTION_KEYS, HASH_KEY
from support.waiting import until
from tenantry.dev.health_probe import is_ready
from tenantry.servers import Servers
from tenantry.servers.ports import free_ports


@dataclass
class Running:
    """`python -m webhooks`, and what it said."""

    process: asyncio.subprocess.Process
    url: str
    log: Path


@asynccontextmanager
async def running(servers: Servers, log: Path) -> AsyncIterator[Running]:
    """Ready, on a migrated database and a stream that is there; stopped in an orderly way."""
    (port,) = free_ports(1)
    env = {
        "PATH": os.environ["PATH"],
        "TENANTRY_NATS_URL": servers.nats_url("webhooks"),
        "TENANTRY_DATABASE_URL": servers.database_url("webhooks"),
        "TENANTRY_HTTP_PORT": str(port),
        "TENANTRY_HASH_KEY": HASH_KEY,
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
        yield Running(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)
