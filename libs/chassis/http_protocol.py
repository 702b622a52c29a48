"""One connection of HTTP/1.1, with bounds on what strangers may send and hold: heads, bodies, time.

The one file that leans on the inside of uvicorn's httptools protocol: how it sees a request.
`tests/unit/test_library_internals.py` fails when a new version changes it. What is no HTTP is a
problem document like any other error.
"""

import asyncio
import socket
from typing import Any

import orjson
from contracts.problems import Problem
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from chassis.client_limits import Clients, Site
from chassis.request import problem_headers
from chassis.tracing import new_request_id, new_traceparent

MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers. A line beyond 64 KiB is no request to the parser."""
MAX_FIELDS = 200
HEAD_SECONDS = 10.0
"""From connecting, or from the first byte after an answer, to the end of a head."""
PROXY_KEY = b"tenantry-proxy-key"
"""The field by which a proxy whose address is not known beforehand shows that it is trusted."""
MAX_PIPELINED = 8
"""Requests that wait on a connection for the answer to one before them."""
SMALL = 4096
"""Bytes that a connection may hold without being counted: a usual head."""
LINGER_SECONDS = 1.0
"""How long a client may take to stop sending what it is refused."""
UNREAD_ANSWER_SECONDS = 60
"""How long an answer waits for a client that does not read it (TCP_USER_TIMEOUT of Linux)."""

_HEAD = (
    b"content-type: application/problem+json\r\nx-content-type-options: nosniff\r\n"
    b"cache-control: no-store\r\nconnection: close\r\ncontent-length: %d\r\n"
)


class Refused(Exception):  # noqa: N818 - never seen outside
    """The head, or the trailer of a chunked body, is not taken; `_problem` says why."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection, one of `clients`.

    `_deadline` runs while a head, or the rest of a body that nobody reads, has not come.
    `_unparsed` counts the bytes since the parser last reported anything, `_head` those of the head,
    `_kept` those of requests that are not answered yet.
    """

    def __init__(self, *args: Any, clients: Clients, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clients = clients
        self._deadline: asyncio.TimerHandle | None = None
        self._problem: Problem | None = None
        self._proxy_key: bytes | None = None
        self._is_admitted = self._is_refused = False
        self._head = self._fields = self._hosts = self._unparsed = self._kept = self._unread = 0
        self.site: Site
        self.payer: Site
        self.speaks_for: str | None = None
        self.held = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = self.client[0] if self.client else None
        self._is_proxy = peer in self._clients.proxies
        self.site = self.payer = self._clients.site(peer, is_proxy=self._is_proxy)
        self._is_admitted = self._clients.admit(self)
        if not self._is_admitted:
            transport.close()
            return
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connected: socket.socket = transport.get_extra_info("socket")
            connected.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_ANSWER_SECONDS * 1000
            )
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._start_head_timer()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD and not self.transport.is_closing():
            self._refuse(_too_large())
        self._count_held()

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._kept += self._head
        self._head = self._fields = self._hosts = self._unparsed = 0
        self._proxy_key = None
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count_head(len(name) + len(value))
        if len(name) == 4 and name.lower() == b"host":
            self._hosts += 1
        elif len(name) == len(PROXY_KEY) and name.lower() == PROXY_KEY:
            self._proxy_key = value  # the application has no use for it
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # RFC 9112 section 3.2; HTTP/1.0 knows no Host.
        if self._hosts != 1 and (self._hosts or self.parser.get_http_version() != "1.0"):
            self._fail(Problem("malformed_request", "Name one Host (RFC 9112 section 3.2)."))
        if len(self.pipeline) >= MAX_PIPELINED:
            self._fail(Problem("malformed_request", "Wait for answers before sending more."))
        if self._is_proxy or self._has_proxy_key():
            self._find_client()
        elif self.speaks_for is not None:  # it did, with the key
            self._speak_for(None)
        super().on_headers_complete()
        self._stop_head_timer()
        self.site.idle.pop(self, None)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        if not self.cycle.response_complete:
            self._kept += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            self._kept = 0
            if self._head > SMALL:  # nobody looks at it again
                self._head = 0
                self.headers, self.scope, self.cycle.scope = [], {}, {}  # type: ignore[typeddict-item]
            if self.held:
                self._count_held()
            if self._is_admitted:
                self.site.idle[self] = None

    def pause_writing(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._count_held()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread = 0
        self._count_held()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text is not ours
        """The parser refused, or one of its callbacks: what follows cannot be understood."""
        problem = Problem("malformed_request", "Send a request of HTTP/1.1 (RFC 9112).")
        self._refuse(self._problem or problem)

    @property
    def waits(self) -> bool:
        """Whether what it holds waits for the client: to send the rest, or to read the answer."""
        cycle = self.cycle
        return bool(self._unread) or cycle is None or cycle.more_body or cycle.response_complete

    def close_idle(self) -> None:
        """Makes room for another connection."""
        self._leave()
        self.transport.close()

    def shed(self) -> None:
        """Frees what it holds: too much for its address, or for all."""
        if self.transport.is_closing():
            self._clients.hold(self, 0)
            return
        if self._unread:
            self._leave()
            self.transport.abort()
            return
        self._is_refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.cycle.body.clear()
        busy = Problem("service_unavailable", "Too much is being sent at once.", retry_after=1)
        self._refuse(busy, lingers=True)
        self._clients.hold(self, 0)

    def _leave(self) -> None:
        if self._is_admitted:
            self._is_admitted = False
            self._clients.release(self)

    def _find_client(self) -> None:
        """The proxy speaks for another one: what this request holds counts for that."""
        assert self.client is not None
        lines = [value for name, value in self.headers if name == b"x-forwarded-for"]
        address = self._clients.proxies.client_of(self.client[0], lines)
        self.scope["client"] = (address, 0)
        if address != self.speaks_for:
            self._speak_for(address)

    def _speak_for(self, address: str | None) -> None:
        self._clients.hold(self, 0)
        self.speaks_for = address

    def _has_proxy_key(self) -> bool:
        """A wrong one is an error: else everybody behind that proxy would count as the proxy."""
        if self._proxy_key is None:
            return False
        if not self._clients.proxies.is_key(self._proxy_key):
            self._fail(Problem("malformed_request", "Tenantry-Proxy-Key is wrong."))
        return True

    def _count_held(self) -> None:
        size = self._kept + self._unread + self._unparsed + self._head
        if self.held or size > SMALL:
            self._clients.hold(self, size if size > SMALL and self._is_admitted else 0)

    def _count_head(self, size: int) -> None:
        self._unparsed = 0
        self._head += size
        if self._head > MAX_HEAD or self._fields > MAX_FIELDS:
            self._fail(_too_large())

    def _fail(self, problem: Problem) -> None:
        self._problem = problem
        raise Refused

    def _refuse(self, problem: Problem, *, lingers: bool = False) -> None:
        """Answers, unless an answer is on its way already, and ends the connection: where it
        `lingers`, only when the client has had time to read what it is told while it sends.
        """
        cycle = self.cycle
        is_free = cycle is None or not cycle.response_started or cycle.response_complete
        if not is_free or self.pipeline:
            self.transport.close()
            return
        body = orjson.dumps(problem.body(new_request_id(), new_traceparent()[3:35]))
        more = "".join(f"{name}: {value}\r\n" for name, value in problem_headers(problem).items())
        head = STATUS_LINE[problem.status] + _HEAD % len(body) + more.encode()
        self.transport.write(head + b"\r\n" + body)
        if lingers:
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
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
