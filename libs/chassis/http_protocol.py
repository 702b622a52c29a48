"""HTTP/1.1 towards strangers: how long a head may be and take, and how many connections there are.

What uvicorn leaves open is bounded here; what is no HTTP is a problem document like any other.
"""

import asyncio
import resource
import socket
from typing import Any

import orjson
from contracts.problems import Problem
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from chassis.tracing import new_request_id, new_traceparent

MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers. A line beyond 64 KiB is no request to the parser."""
MAX_FIELDS = 200
HEAD_SECONDS = 10.0
"""From connecting, or from the first byte after an answer, to the end of a head."""
MAX_CONNECTIONS = 4096
OTHER_FILES = 256
"""What a process has open beside its clients' connections: a pool, NATS, Redis, logs."""
UNREAD_SECONDS = 60
"""How long an answer waits for a client that does not read it (TCP_USER_TIMEOUT of Linux)."""

_HEAD = (
    b"content-type: application/problem+json\r\ncache-control: no-store\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n"
)


def room_for_connections() -> int:
    """How many clients may be connected at once; raises the limit of open files for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(soft, wanted) - OTHER_FILES


class TooLarge(Exception):  # noqa: N818 - never seen outside
    """The head, or what comes after a body in chunks, is more than we take."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection, of at most `most`.

    `_deadline` runs while the client owes us a head, or the rest of a body that nobody reads any
    more. `_silent` counts the bytes since the parser last said anything of them.
    """

    def __init__(self, *args: Any, most: int = MAX_CONNECTIONS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most = most
        self._deadline: asyncio.TimerHandle | None = None
        self._head = self._fields = self._silent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.close()
            return
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            peer: socket.socket = transport.get_extra_info("socket")
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        self._silent += len(data)
        super().data_received(data)
        if self._silent > MAX_HEAD and not self.transport.is_closing():
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        self._head = self._fields = self._silent = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._take(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._take(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._stop_waiting()

    def on_body(self, body: bytes) -> None:
        self._silent = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text is not ours
        """The parser refused: what follows cannot be understood."""
        if self._head > MAX_HEAD or self._fields > MAX_FIELDS:
            self._refuse(_too_large())
        else:
            self._refuse(Problem("malformed_request", "Send a request of HTTP/1.1 (RFC 9112)."))

    def _take(self, size: int) -> None:
        self._silent = 0
        self._head += size
        if self._head > MAX_HEAD or self._fields > MAX_FIELDS:
            raise TooLarge

    def _refuse(self, problem: Problem) -> None:
        """Answers, unless an answer is on its way already, and ends the connection."""
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = orjson.dumps(problem.body(new_request_id(), new_traceparent()[3:35]))
            self.transport.write(STATUS_LINE[problem.status] + _HEAD % len(body) + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        self.transport.close()


def _too_large() -> Problem:
    return Problem(
        "header_fields_too_large",
        f"Send at most {MAX_FIELDS} header fields and {MAX_HEAD // 1024} KiB of them.",
    )
