"""TLS for PostgreSQL's own programs, which may have been built without: they connect to a socket in
a folder that is ours alone, and what they say goes on to the server through TLS that is verified.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from chassis.tls import Tls, tls_of, without_tls

from tenantry.errors import CommandFailed
from tenantry.servers.postgres_url import libpq_environment

DEFAULT_PORT = 5432
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_BOUND_TO_TLS = b"SCRAM-SHA-256-PLUS\0"
_BLOCK = 65_536


@asynccontextmanager
async def reachable(url: str) -> AsyncIterator[dict[str, str]]:
    """The environment of a program that shall reach the server of `url`, as the role in it.

    The program ends before this does.
    """
    tls = tls_of(url)
    if tls is None:
        yield libpq_environment(url)
        return
    parts = urlsplit(url)
    tunnel = _Tunnel(parts.hostname or "localhost", parts.port or DEFAULT_PORT, tls)
    with _folder() as folder:
        socket = Path(folder, f".s.PGSQL.{DEFAULT_PORT}")
        async with await asyncio.start_unix_server(tunnel.serve, socket):
            here = {"PGHOST": folder, "PGPORT": str(DEFAULT_PORT)}
            yield libpq_environment(without_tls(url)) | here


def _folder() -> TemporaryDirectory[str]:
    """Of mode 0700."""
    try:
        return TemporaryDirectory(prefix="tenantry-")
    except FileNotFoundError:
        raise CommandFailed(
            "PostgreSQL with TLS is reached through a socket, and no folder for it can be written",
            "Set TMPDIR to a folder that this user can write.",
            code="no_folder",
        ) from None


class _Tunnel:
    def __init__(self, host: str, port: int, tls: Tls) -> None:
        self._host = host
        self._port = port
        self._tls = tls

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a program. It is closed when the server's cannot be opened."""
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                there, back = await self._connect()
                await asyncio.gather(_copy(reader, back), self._answer(there, writer))
        finally:
            writer.close()

    async def _answer(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Without the offer to bind the password to TLS, which a program refuses that has none."""
        with suppress(asyncio.IncompleteReadError):
            kind, size = struct.unpack("!ci", await server.readexactly(5))
            body = (await server.readexactly(size - 4)).replace(_BOUND_TO_TLS, b"")
            writer.write(struct.pack("!ci", kind, len(body) + 4) + body)
        await _copy(server, writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(_SSL_REQUEST)
        if await reader.readexactly(1) != b"S":
            writer.close()
            raise ConnectionError("the server offers no TLS")
        await writer.start_tls(self._tls.context(), server_hostname=self._host)
        return reader, writer


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """What one side says to its end, and then the end."""
    try:
        while block := await source.read(_BLOCK):
            target.write(block)
            await target.drain()
    finally:
        target.close()
