"""A receiver of webhooks that writes raw bytes, in a thread of its own."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tenantry.servers.ports import HOST

BUFFER_BYTES = 16 * 1024
"""Little, so that what was pushed is about what the other side has read."""
END = b"\r\n\r\n"


@dataclass
class RawReceiver:
    """What came, by connection; `pushed` is the most that one connection took, in bytes."""

    url: str = ""
    connections: int = 0
    open: int = 0
    requests: list[bytes] = field(default_factory=list)
    pushed: int = 0


class Peer:
    """The other side of one connection. ConnectionError once it has closed it."""

    def __init__(
        self, receiver: RawReceiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._receiver = receiver
        self._reader = reader
        self._writer = writer
        self._pushed = 0
        if writer.get_extra_info("ssl_object") is None:  # there, asyncio would wait without end
            writer.transport.set_write_buffer_limits(0)

    async def read_request(self) -> bytes:
        """Its head and its body."""
        head = await self.read_head()
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        request = head + await self._reader.readexactly(length)
        self._receiver.requests.append(request)
        return request

    async def read_head(self) -> bytes:
        return await self._reader.readuntil(END)

    async def push(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        self._pushed += len(data)
        self._receiver.pushed = max(self._receiver.pushed, self._pushed)

    async def push_without_end(self, data: bytes, pause: float = 0.0) -> None:
        while True:
            await self.push(data)
            await asyncio.sleep(pause)

    async def wait_until_closed(self) -> None:
        await self._reader.read()

    def end_writing(self) -> None:
        """The other direction stays open."""
        self._writer.write_eof()


Script = Callable[[Peer], Awaitable[None]]
"""What the receiver does with a connection, which it closes at the end."""


@contextmanager
def raw_receiver(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[RawReceiver]:
    """Listens on a free port of 127.0.0.1."""
    receiver = RawReceiver()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        receiver.open += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await script(Peer(receiver, reader, writer))
        finally:
            receiver.open -= 1
            writer.transport.abort() if tls else writer.close()

    with socket.create_server((HOST, 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        scheme = "https" if tls else "http"
        receiver.url = f"{scheme}://{HOST}:{listening.getsockname()[1]}/in"
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()

        async def run() -> None:
            async with await asyncio.start_server(serve, sock=listening, ssl=tls):
                await stop.wait()

        def work() -> None:
            asyncio.set_event_loop(loop)
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(run())
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
