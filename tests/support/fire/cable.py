"""A TCP cable between two processes, which can be torn or fall silent, and be mended.

Torn: connections are reset, and new ones as soon as they are made. Silent: bytes stay where they
are, and nobody is told; mended, they arrive late. Stranded, as when another server takes over the
address: connections seem to be there until something is sent over them, new ones are good.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tenantry.servers.ports import HOST, free_ports


class Cable:
    """Listens on `port` and passes on to `target`."""

    def __init__(self, target: int) -> None:
        (self.port,) = free_ports(1)
        self.target = target
        self.ends: set[_End] = set()
        self.torn = False
        self.silent = False
        self._server: asyncio.Server | None = None
        self._dialling: set[asyncio.Task[None]] = set()

    async def lay(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self, self._dial), HOST, self.port)

    def tear(self) -> None:
        self.torn = True
        self._drop()

    def silence(self) -> None:
        self.silent = True
        for end in self.ends:
            end.flow()

    def strand(self) -> None:
        for end in [each for each in self.ends if each.is_near]:
            end.strand()

    def mend(self) -> None:
        self.torn = self.silent = False
        for end in list(self.ends):
            end.flow()

    async def remove(self) -> None:
        self._drop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _drop(self) -> None:
        for end in list(self.ends):
            end.transport.abort()

    def _dial(self, near: "_End") -> None:
        task = asyncio.create_task(self._connect(near))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _connect(self, near: "_End") -> None:
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(lambda: _End(self), HOST, self.target)
        except OSError:
            near.transport.abort()
            return
        near.join(far)
        far.join(near)


class _End(asyncio.Protocol):
    """One connection of the two that the cable joins."""

    transport: asyncio.Transport

    def __init__(self, cable: Cable, dial: Callable[["_End"], None] | None = None) -> None:
        self._cable = cable
        self._dial = dial
        self._other: _End | None = None
        self._gone = False
        self._choked = False
        self._stranded = False

    @property
    def is_near(self) -> bool:
        return self._dial is not None

    def strand(self) -> None:
        other, self._other = self._other, None
        self._stranded = other is not None
        if other is not None:
            other._other = None
            other.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._cable.torn:
            transport.abort()
            return
        self._cable.ends.add(self)
        self.flow()
        if self._dial is not None:
            self._dial(self)

    def join(self, other: "_End") -> None:
        self._other = other
        if other._gone:
            self.transport.abort()
        self.flow()

    def flow(self) -> None:
        """Reads while there is somebody to give it to and the cable is not silent."""
        if self._gone or self._stranded:
            return
        if self._cable.silent or self._other is None or self._other._choked:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._stranded:
            self.transport.abort()
            return
        assert self._other is not None
        self._other.transport.write(data)

    def pause_writing(self) -> None:
        self._choked = True
        self._let_flow()

    def resume_writing(self) -> None:
        self._choked = False
        self._let_flow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._cable.ends.discard(self)
        if self._other is not None:
            with suppress(OSError):
                self._other.transport.close()

    def _let_flow(self) -> None:
        if self._other is not None:
            self._other.flow()
