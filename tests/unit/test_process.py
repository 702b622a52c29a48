"""The end of a process: nothing that runs in it can keep it."""

import subprocess
import sys

from tenantry.servers.ports import HOST, free_ports

LOSES_ITS_CANCELLATION = """
import asyncio, contextlib, sys
from chassis.http_server import HttpServer
from chassis.process import Process
from starlette.applications import Starlette

async def main():
    process = Process("test")

    async def run():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    async def start():
        process.background("task", run)
        asyncio.get_running_loop().call_later(0.1, process.fail)

    return await process.run(HttpServer(Starlette(), sys.argv[1], int(sys.argv[2])), start)

sys.exit(asyncio.run(main()))
"""


def test_a_task_that_loses_its_cancellation_is_cancelled_again() -> None:
    """As `asyncio.wait_for` of Python 3.11 may, when what it waits for is there in that moment."""
    (port,) = free_ports(1)
    program = [sys.executable, "-c", LOSES_ITS_CANCELLATION, HOST, str(port)]
    assert subprocess.run(program, timeout=20, check=False).returncode == 1
