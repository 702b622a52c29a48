"""One connection to a receiver: a request, then its answer, then perhaps the next request.

Whatever arrives while no request is in flight ends the connection: it can be no answer. A read
takes 4 KiB at most, and after each full one everything else has its turn.
"""

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import cast

from webhooks.worker.answer import Answer, InvalidAnswerError
from webhooks.worker.tls import TlsSession

READ_BYTES = 4096
MAX_HANDSHAKE_BYTES = 64 * 1024


class Connection(asyncio.BufferedProtocol):
    """`on_end` is called once, when it ends. With `tls`, `start_tls` comes first."""

    def __init__(
        self, on_end: Callable[["Connection"], None], tls: TlsSession | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_new = True
        self._handshake_bytes = 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    async def start_tls(self) -> None:
        """Raises OSError, or InvalidAnswerError if the handshake is too long."""
        assert self._tls is not None
        self._tls.receive(b"")  # the first message is ours
        await self._send(b"")

    async def exchange(self, request: bytes, answer: Answer) -> None:
        """Sends the request and reads until its answer is complete.

        Raises InvalidAnswerError, or OSError if there was none; when it is cancelled, `answer` has
        what came. Then, or if the answer does not keep it alive, the connection ends.
        """
        if self._has_input():
            self.abort()
        self._is_new = False
        self._answer = answer
        await self._send(request)

    async def _send(self, data: bytes) -> None:
        """Returns when the receiver has responded as it should."""
        try:
            if self._transport is None:
                raise ConnectionAbortedError
            self._waiter = self._loop.create_future()
            self._transport.write(data if self._tls is None else self._tls.send(data))
            await self._waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._answer = None

    def abort(self) -> None:
        """Closes it at once: there is no time in which the other side could hold it open."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self._on_end(self)

    def _has_input(self) -> bool:
        """Whether something came that the loop has not read yet, an end included.

        A new connection with TLS is not asked: session tickets of the server may lie there.
        """
        if self._transport is None or (self._is_new and self._tls is not None):
            return False
        if self._transport.is_closing():
            return True
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop, as are the following."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no such class

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - we decide
        answer = self._answer
        if answer is None or answer.bytes_left >= READ_BYTES:
            return self._buffer
        return self._buffer[: answer.bytes_left]

    def buffer_updated(self, nbytes: int) -> None:
        data, answer = self._buffer[:nbytes], self._answer
        try:
            if answer is not None:
                answer.feed(self._decrypt(data), nbytes)
                if answer.is_complete:
                    self._finish(answer)
            elif self._tls is not None and self._is_new:
                self._shake_hands(data)
            else:
                self.abort()
        except (InvalidAnswerError, ssl.SSLError) as error:
            self._end(error)
        if nbytes == READ_BYTES and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_soon(self._resume_reading)

    def eof_received(self) -> None:
        self._end(ConnectionResetError())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - all are the same
        self._end(ConnectionResetError())

    def _decrypt(self, data: memoryview) -> memoryview:
        if self._tls is None:
            return data
        plain = self._tls.receive(data)
        if self._transport is not None and (output := self._tls.send()):
            self._transport.write(output)
        return memoryview(plain)

    def _shake_hands(self, data: memoryview) -> None:
        """What comes before the first request: the handshake, session tickets, and no answer."""
        assert self._tls is not None
        self._handshake_bytes += len(data)
        if self._decrypt(data) or self._handshake_bytes > MAX_HANDSHAKE_BYTES:
            raise InvalidAnswerError
        if self._tls.is_established:
            self._wake()

    def _resume_reading(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def _finish(self, answer: Answer) -> None:
        """From here on the connection is idle."""
        self._answer = None
        # An answer to half a request may be one, but the other half would be the next request.
        if not answer.keeps_alive or (self._transport and self._transport.get_write_buffer_size()):
            self.abort()
        self._wake()

    def _end(self, error: Exception) -> None:
        """Nothing more comes: the head decides, if there is one."""
        answer, self._answer = self._answer, None
        self.abort()
        self._wake(error if answer is None or answer.status is None else None)

    def _wake(self, error: Exception | None = None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
