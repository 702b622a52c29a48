"""The answer of a receiver, parsed by llhttp as it arrives, within bounds. No I/O.

The first final head decides. Whatever follows can only end the connection, never change the answer.
Nothing is decompressed, and trailers are ignored.
"""

import httptools

MAX_HEAD_BYTES = 64 * 1024
"""Of all heads together: 1xx answers come before the final one."""
MAX_BODY_BYTES = 64 * 1024
"""Both as they are on the wire: with TLS, sizes of chunks, trailers."""
KEPT_BODY_BYTES = 4096
MAX_INTERIM_ANSWERS = 8


class InvalidAnswerError(Exception):
    """It is not HTTP/1, or its head exceeds a bound."""


class Answer:
    """`status` is None until the final head has come; `body` has the first 4 KiB.

    After `is_complete`, `keeps_alive` says whether the connection may carry another request.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after: str | None = None
        self.body = bytearray()
        self.is_complete = False
        self.keeps_alive = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._interim_answers = 0
        self._parser = httptools.HttpResponseParser(self)
        # What many servers write and every other client accepts. No answer is passed on to anybody
        # and each connection has one receiver, so that nothing can be smuggled past anyone.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    @property
    def has_begun(self) -> bool:
        """Whether anything of it has come."""
        return self._head_bytes > 0

    @property
    def bytes_left(self) -> int:
        """How many bytes may be read before the next bound."""
        if self.status is None:
            return MAX_HEAD_BYTES - self._head_bytes
        return MAX_BODY_BYTES - self._body_bytes

    def feed(self, data: memoryview, received: int) -> None:
        """Takes what was in so many bytes received. Raises InvalidAnswerError."""
        self._count(received)
        had_head = self.status is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.status is None:
                raise InvalidAnswerError from error
            self._end(keeps_alive=False)
            return
        if self.status is not None and not had_head:
            self._count(received)  # what ends the head may have some of the body
        if self.bytes_left <= 0 and not self.is_complete:
            if self.status is None:
                raise InvalidAnswerError
            self._end(keeps_alive=False)

    def on_message_begin(self) -> None:
        """Called by the parser, as are the following."""
        if self.is_complete:
            raise InvalidAnswerError  # something follows the answer

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is None and len(name) == 11 and name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        # Nobody asked to switch protocols: that is no 1xx after which an answer follows.
        if status >= 200 or status == 101:
            self.status = status
            return
        self._interim_answers += 1
        if status < 100 or self._interim_answers > MAX_INTERIM_ANSWERS:
            raise InvalidAnswerError

    def on_body(self, data: bytes) -> None:
        if len(self.body) < KEPT_BODY_BYTES:
            self.body += data[: KEPT_BODY_BYTES - len(self.body)]

    def on_message_complete(self) -> None:
        if self.status is None:
            self.retry_after = None  # it was a 1xx
        else:
            self._end(keeps_alive=self.status != 101 and self._parser.should_keep_alive())

    def _count(self, size: int) -> None:
        if self.status is None:
            self._head_bytes += size
        else:
            self._body_bytes += size

    def _end(self, *, keeps_alive: bool) -> None:
        self.is_complete, self.keeps_alive = True, keeps_alive
