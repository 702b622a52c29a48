"""The end of a process: nothing that runs in it can keep it. Idle, it hardly wakes."""

import asyncio
import subprocess
import sys

from chassis.http_server import TICK_SECONDS, HttpServer
from starlette.applications import Starlette
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


class CountedServer(HttpServer):
    """Counts how often it wakes."""

    ticks = 0

    async def on_tick(self, counter: int) -> bool:
        self.ticks += 1
        return await super().on_tick(counter)


async def test_an_idle_http_server_wakes_once_a_second_and_ends_at_once() -> None:
    """Uvicorn's own loop wakes ten times: in eight servers, a fifth of what an idle stack spent."""
    server = CountedServer(Starlette(), HOST, free_ports(1)[0])
    serving = asyncio.create_task(server.serve())
    await asyncio.sleep(1.5 * TICK_SECONDS)  # what is counted is what happens in a time
    assert server.ticks == 2
    server.stop()
    async with asyncio.timeout(TICK_SECONDS / 2):
        await serving
