"""Another edge beside the stack's own: what one does, the other must know."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
from tenantry.dev.health_probe import is_ready
from tenantry.servers.ports import HOST, free_ports

from support.stack import Stack
from support.waiting import until


@asynccontextmanager
async def second_edge(stack: Stack) -> AsyncIterator[str]:
    """Its URL. It has the environment of the stack's own edge, all but the port."""
    environment = psutil.Process(stack.ready["processes"]["edge"]).environ()
    (port,) = free_ports(1)
    with (stack.ready_file.parent / "second-edge.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "edge"),
            env={**environment, "TENANTRY_HTTP_PORT": str(port)},
            stdout=log,
            stderr=log,
        )

    async def ready() -> bool:
        assert process.returncode is None, "the second edge ended before it was ready"
        return await is_ready(port)

    try:
        await until(ready, 30)
        yield f"http://{HOST}:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)
