"""A TCP proxy between two processes, whose connections a test can cut, freeze or detach.

Cut: open connections are reset, and new ones as soon as they are accepted. Frozen: connections stay
open, and their bytes arrive after the freeze. Detached, as when another server takes over the
address: open connections look alive until the client sends something, or for ever if the old one
vanished with its machine; new ones work.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tenantry.servers.ports import HOST, free_ports

CHUNK = 64 * 1024


@dataclass(eq=False)
class _Connection:
    client: asyncio.WriteTransport
    server: asyncio.WriteTransport | None = None
    is_detached: bool = False
    is_silent: bool = False


class TcpProxy:
    """Listens on `port` and forwards to the first of the ports `targets` that accepts."""

    def __init__(self, *targets: int) -> None:
        (self.port,) = free_ports(1)
        self.targets: Sequence[int] = targets
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._is_cut = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=1024)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        self._flowing.set()

    def cut(self) -> None:
        self._is_cut = True
        for connection in self.connections:
            connection.client.abort()
            if connection.server is not None:
                connection.server.abort()

    def freeze(self) -> None:
        self._flowing.clear()

    def detach(self, *, silently: bool = False) -> None:
        """Silently: what the client sends is lost, and nothing tells it."""
        for connection in self.connections:
            if connection.server is not None:
                connection.is_detached, connection.is_silent = True, silently
                connection.server.abort()

    def restore(self) -> None:
        """Ends a cut or a freeze; what was detached stays so."""
        self._is_cut = False
        self._flowing.set()

    def order_targets(self) -> Sequence[int]:
        """The ports to try for the next connection."""
        return self.targets

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        connection = _Connection(writer.transport)
        self.connections.add(connection)
        with suppress(OSError):
            from_server, to_server = await self._connect()
            connection.server = to_server.transport
            await asyncio.gather(
                self._forward(connection, reader, to_server),
                self._forward(connection, from_server, writer),
            )
        self.connections.discard(connection)
        writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for target in self.order_targets():
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection(HOST, target)
        raise ConnectionRefusedError

    async def _forward(
        self, connection: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                await self._flowing.wait()
                if connection.is_silent:
                    continue
                if connection.is_detached:
                    connection.client.abort()
                    return
                sink.write(data)
                await sink.drain()
        await self._flowing.wait()
        if not connection.is_detached:
            sink.close()
