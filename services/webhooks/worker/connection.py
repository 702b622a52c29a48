"""One connection to a receiver: a request, then its answer, then perhaps the next request.

Whatever arrives while no request is in flight ends the connection: it can be no answer. A read
takes 4 KiB at most, and after each full one everything else has its turn.
"""

import asyncio
import select
from collections.abc import Callable
from typing import cast

from webhooks.worker.answer import Answer, InvalidAnswerError

READ_BYTES = 4096


class Connection(asyncio.BufferedProtocol):
    """`on_end` is called once, when it ends."""

    def __init__(self, on_end: Callable[["Connection"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._may_have_input = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    async def exchange(self, request: bytes, answer: Answer) -> None:
        """Sends the request and reads until its answer is complete.

        Raises InvalidAnswerError, or ConnectionError if there was none; when it is cancelled,
        `answer` has what came. Then, or if the answer does not keep it alive, the connection ends.
        """
        transport = self._transport
        if transport is None or self._has_input(transport):
            self.abort()
            raise ConnectionAbortedError
        self._answer = answer
        self._waiter = self._loop.create_future()
        transport.write(request)
        try:
            await self._waiter
        finally:
            if self._answer is not None:  # cancelled
                self._answer = None
                self.abort()

    def abort(self) -> None:
        """Closes it at once: there is no time in which the other side could hold it open."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self._on_end(self)

    def _has_input(self, transport: asyncio.Transport) -> bool:
        """Whether something came that the loop has not read yet, an end included.

        A new connection with TLS is not asked: session tickets of the server may lie there.
        """
        is_new, self._may_have_input = not self._may_have_input, True
        if is_new and transport.get_extra_info("ssl_object") is not None:
            return False
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
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
        answer = self._answer
        if answer is None:
            self.abort()
            return
        try:
            answer.feed(self._buffer[:nbytes])
        except InvalidAnswerError as error:
            self._finish(answer, error)
            return
        if answer.is_complete:
            self._finish(answer, None)
        elif nbytes == READ_BYTES and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_soon(self._resume_reading)

    def eof_received(self) -> None:
        self._receive_end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - all are the same
        self._receive_end()

    def _receive_end(self) -> None:
        if self._answer is not None:
            try:
                self._answer.feed_eof()
            except ConnectionResetError as error:
                self._finish(self._answer, error)
            else:
                self._finish(self._answer, None)
        self.abort()

    def _resume_reading(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def _finish(self, answer: Answer, error: Exception | None) -> None:
        """From here on the connection is idle."""
        self._answer = None
        transport, waiter = self._transport, self._waiter
        # An answer to half a request may be one, but the other half would be the next request.
        if not answer.keeps_alive or (transport and transport.get_write_buffer_size()):
            self.abort()
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
