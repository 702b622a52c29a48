"""A load balancer as simple as can be: TCP, and each edge is asked every moment if it is ready.

A connection goes to an edge that said so last; one that is refused goes to the next.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count

from tenantry.dev.health_probe import is_ready
from tenantry.servers.ports import HOST, free_ports

ASK_SECONDS = 0.2
"""An edge that leaves says so for longer than this before it hangs up."""


class Balancer:
    """Listens on `port` for the edges behind the ports `targets`."""

    def __init__(self, targets: Sequence[int]) -> None:
        (self.port,) = free_ports(1)
        self.targets = targets
        self.ready: set[int] = set()
        self._turn = count()

    async def watch(self, target: int) -> None:
        while True:
            (self.ready.add if await is_ready(target) else self.ready.discard)(target)
            await asyncio.sleep(ASK_SECONDS)

    async def join(self, near: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """One connection, until either end hangs up."""
        try:
            far, ask = await self._dial()
        except OSError:
            answer.transport.abort()
            return
        await asyncio.gather(_pass_on(near, ask), _pass_on(far, answer))

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        turn = next(self._turn) % len(self.targets)
        order = [*self.targets[turn:], *self.targets[:turn]]
        for target in sorted(order, key=lambda each: each not in self.ready):
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection(HOST, target)
        raise ConnectionRefusedError


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(64 * 1024):
            sink.write(data)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def balanced(targets: Sequence[int]) -> AsyncIterator[Balancer]:
    balancer = Balancer(targets)
    watching = [asyncio.create_task(balancer.watch(target)) for target in targets]
    server = await asyncio.start_server(balancer.join, HOST, balancer.port, backlog=1024)
    try:
        yield balancer
    finally:
        server.close()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
