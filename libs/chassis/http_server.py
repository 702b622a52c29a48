"""HTTP/1.1 by uvicorn, with bounds on what strangers may send and hold: heads, connections, time.

The only file that leans on the inside of uvicorn: how its httptools protocol sees a request, and
what a running server keeps of its connections. `tests/unit/test_library_internals.py` fails when a
new version changes one of them. What is no HTTP is a problem document like any other error.
"""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson
import uvicorn
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
UNREAD_ANSWER_SECONDS = 60
"""How long an answer waits for a client that does not read it (TCP_USER_TIMEOUT of Linux)."""

_HEAD = (
    b"content-type: application/problem+json\r\ncache-control: no-store\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n"
)


def connection_limit() -> int:
    """How many clients may be connected at once; raises the limit of open files for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(soft, wanted) - OTHER_FILES


class TooLarge(Exception):  # noqa: N818 - never seen outside
    """The head, or the trailer of a chunked body, is larger than allowed."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection, of at most `limit`.

    `_deadline` runs while a head, or the rest of a body that nobody reads, has not come.
    `_unparsed` counts the bytes since the parser last reported anything.
    """

    def __init__(self, *args: Any, limit: int = MAX_CONNECTIONS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limit = limit
        self._deadline: asyncio.TimerHandle | None = None
        self._head = self._fields = self._unparsed = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limit:
            transport.close()
            return
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            peer: socket.socket = transport.get_extra_info("socket")
            peer.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_ANSWER_SECONDS * 1000
            )
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._start_head_timer()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD and not self.transport.is_closing():
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        self._head = self._fields = self._unparsed = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count_head(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._stop_head_timer()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text is not ours
        """The parser refused: what follows cannot be understood."""
        if self._head > MAX_HEAD or self._fields > MAX_FIELDS:
            self._refuse(_too_large())
        else:
            self._refuse(Problem("malformed_request", "Send a request of HTTP/1.1 (RFC 9112)."))

    def _count_head(self, size: int) -> None:
        self._unparsed = 0
        self._head += size
        if self._head > MAX_HEAD or self._fields > MAX_FIELDS:
            raise TooLarge

    def _refuse(self, problem: Problem) -> None:
        """Answers, unless an answer is on its way already, and ends the connection."""
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = orjson.dumps(problem.body(new_request_id(), new_traceparent()[3:35]))
            self.transport.write(STATUS_LINE[problem.status] + _HEAD % len(body) + body)
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_head_timeout(self) -> None:
        self._deadline = None
        self.transport.close()


def _too_large() -> Problem:
    return Problem(
        "header_fields_too_large",
        f"Send at most {MAX_FIELDS} header fields and {MAX_HEAD // 1024} KiB of them.",
    )


class HttpServer(uvicorn.Server):
    """Serves an ASGI app inside a running loop until `should_exit` is set.

    `trusted_proxies`: addresses, separated by commas, whose X-Forwarded-For is believed.
    """

    def __init__(self, app: Any, host: str, port: int, trusted_proxies: str = "") -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(BoundedProtocol, limit=connection_limit()),  # type: ignore[arg-type]
                ws="none",
                host=host,
                port=port,
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level=logging.WARNING,
                server_header=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=75,
                backlog=2048,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=trusted_proxies,
            )
        )

    def close_connections(self) -> None:
        """From now on each answer closes its connection: the client's next one goes elsewhere."""
        closing = [(b"connection", b"close")]
        self.config.encoded_headers += closing  # uvicorn makes its headers from them each second
        self.server_state.default_headers = self.server_state.default_headers + closing
        for each in self.server_state.connections:
            if isinstance(each, BoundedProtocol) and each.cycle is not None:
                each.cycle.keep_alive = False  # its headers are chosen already

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process decides when to stop."""
        yield
