"""The connection to NATS, as one user at one server or several, with that user's inbox prefix."""

import asyncio
import itertools
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from weakref import WeakSet

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from chassis.pull_subscription import JetStream, PullSubscription
from chassis.tls import Tls, tls_of

log = structlog.get_logger()

CLOSED_PAUSE_SECONDS = 0.1
_HEADERS_BEGIN = b"NATS/1.0\r\n"
_STATUS = re.compile(rb"NATS/1\.0 \d{3}[ -~]*\r\n")
"""What headers of a message begin with, and those of an answer of the server (ADR-4 of NATS)."""


@dataclass(frozen=True)
class NatsAddress:
    """Servers of one cluster, and who connects to any of them.

    The credentials stand apart from the servers: those that a server tells of need them as well,
    and are known again as those that were named.
    """

    servers: list[str]
    user: str | None
    password: str | None
    tls: Tls | None = None

    @property
    def inbox_prefix(self) -> bytes:
        """That of the user `edge` for the user `edge-2` as well, who has the same rights."""
        user = re.sub(r"-\d+$", "", self.user or "tenantry")
        return f"_INBOX_{user}".encode()

    def __str__(self) -> str:
        """Without the credentials."""
        return ", ".join(urlsplit(each).netloc for each in self.servers)


class NatsClient(Client):
    """The client of nats-py with requests that cost half, and queues that can be drained.

    All replies come to one inbox, told apart by consecutive numbers (ADR 7). Their subject names
    the service that is asked, which may publish there at any time, and no other service may: the
    right to answer what one was asked ends when the server reads its configuration again.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        super().__init__()
        self._tls = tls
        self._replies: dict[str, asyncio.Future[Msg]] = {}
        self._tokens = itertools.count()
        self._inbox: tuple[str, str] | None = None
        self._queues: list[Subscription] = []
        self._pulls: WeakSet[PullSubscription] = WeakSet()

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Of each handshake, by the certificates of now."""
        return self._tls.context() if self._tls else super().ssl_context

    def _connect_command(self) -> bytes:
        """As nats-py, which would show the password to a server that offers no TLS.

        What is offered comes unencrypted: whoever stands between could take the offer out.
        """
        if self._tls is not None and not self._server_info.get("tls_required"):
            raise NatsError("nats: the server offers no TLS")
        return super()._connect_command()

    def jetstream(self, **options: Any) -> JetStream:
        """As nats-py, with pull subscriptions of our own."""
        return JetStream(self, self._pulls.add, **options)

    def expire_requests(self) -> None:
        """Ends what was requested of streams over the connection that broke."""
        for each in list(self._pulls):
            each.expire()

    async def subscribe(
        self, subject: str, queue: str = "", *args: Any, **options: Any
    ) -> Subscription:
        """As nats-py; subscriptions of a queue group are kept for `drain_queues`."""
        subscription = await super().subscribe(subject, queue, *args, **options)
        if queue:
            self._queues.append(subscription)
        return subscription

    async def drain_queues(self) -> None:
        """Leaves all queue groups, once the messages that have come are handled."""
        queues, self._queues = self._queues, []
        await asyncio.gather(*(each.drain() for each in queues))  # type: ignore[no-untyped-call]

    async def flush(self, timeout: int = 10) -> None:  # noqa: ASYNC109 - as nats-py has it
        """A round trip behind everything that was sent before.

        nats-py writes its PING ahead of what is still buffered, so the first one only empties the
        buffer.
        """
        await super().flush(timeout)
        await super().flush(timeout)

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """As nats-py; on a closed connection it fails only after a pause.

        FastStream's reader asks again at once, whatever fails: without a pause nothing else runs.
        """
        if self.is_closed:
            await asyncio.sleep(CLOSED_PAUSE_SECONDS)
        await super().publish(subject, payload, reply, headers)

    async def publish_request(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> "asyncio.Future[Msg]":
        """Publishes, and returns the reply to come. Whoever no longer waits for it cancels it."""
        if self._inbox is None:
            prefix, _, name = self.new_inbox().rpartition(".")
            self._inbox = prefix, name
            await self.subscribe(f"{prefix}.*.{name}.*", cb=self._on_reply)
        prefix, name = self._inbox
        inbox = f"{prefix}.{_service_of(subject)}.{name}.{next(self._tokens)}"
        reply = self._replies[inbox] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(lambda _: self._replies.pop(inbox))
        await self.publish(subject, payload, inbox, headers)
        return reply

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109 - as nats-py has it
        old_style: bool = False,  # noqa: ARG002
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """The reply. Raises TimeoutError and NoRespondersError of nats-py."""
        reply = await self.publish_request(subject, payload, headers)
        timer = asyncio.get_running_loop().call_later(timeout, _time_out, reply)
        try:
            return await reply
        finally:
            timer.cancel()
            reply.cancel()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        """As nats-py, whose reader ends at headers that a publisher has written as no client does.

        A message of the stream keeps no status: it would be taken for an answer of the server.
        """
        if headers and not headers.startswith(_HEADERS_BEGIN):
            is_answer = _STATUS.match(headers) and not reply.startswith(b"$JS.ACK.")
            headers = headers if is_answer else b""
        await super()._process_msg(sid, subject, reply, data, headers)

    async def _on_reply(self, msg: Msg) -> None:
        # A consumer can be told to deliver here, but what it delivers keeps its own subject.
        reply = self._replies.get(msg.subject)
        if reply is None or reply.done():
            return
        if msg.headers and msg.headers.get("Status") == "503":
            reply.set_exception(NoRespondersError())
        else:
            reply.set_result(msg)


def _service_of(subject: str) -> str:
    """Who answers there: a service, or the server itself."""
    namespace, *names = subject.split(".", 3)
    return names[1] if namespace == "tenantry" and len(names) > 1 else "server"


def _time_out(reply: "asyncio.Future[Msg]") -> None:
    if not reply.done():
        reply.set_exception(NatsTimeoutError())


def parse_nats_urls(urls: str) -> NatsAddress:
    """Reads `nats://user:password@host:4222`, or several by commas; the first may speak for all.

    Files of certificates stand in the parameters of any of them (`chassis.tls`). Raises ValueError,
    with no secret in it, when they cannot be read or name two users.
    """
    servers, credentials = [], []
    tls = None
    for each in filter(None, map(str.strip, urls.split(","))):
        parts = _parts(each)
        if (parts.username is None) is not (parts.password is None):
            raise ValueError("must name a user with a password")
        server = parts.netloc.rpartition("@")[2]
        servers.append(parts._replace(netloc=server, path="", query="").geturl())
        tls = tls_of(each) or tls
        if parts.username is not None and parts.password is not None:
            credentials.append((unquote(parts.username), unquote(parts.password)))
    if not servers:
        raise ValueError("must name a server")
    if len(set(credentials)) > 1:
        raise ValueError("must name the same user and password at every server")
    user, password = credentials[0] if credentials else (None, None)
    return NatsAddress(servers, user, password, tls)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        if parts.hostname and parts.scheme in ("nats", "tls") and parts.port != 0:
            return parts
    except ValueError:  # its text may hold a piece of the password
        pass
    raise ValueError("must be nats://user:password@host:port, several by commas")


async def connect(
    urls: str,
    on_reconnect: Callable[[], None] = lambda: None,
    on_close: Callable[[], None] = lambda: None,
    *,
    reconnects: bool = True,
) -> NatsClient:
    """A connection, once a server is there; if it `reconnects`, then for ever and to any server.

    `on_close` is called when it ended for good. A connection that does not reconnect delivers what
    was sent over it in order and without gaps, up to the moment when it broke.
    """
    address = parse_nats_urls(urls)

    async def disconnected() -> None:
        if reconnects:
            log.warning("nats_disconnected")

    async def reconnected() -> None:
        log.info("nats_reconnected")
        client.expire_requests()
        on_reconnect()

    async def failed(error: Exception) -> None:
        log.warning("nats_error", error=type(error).__name__, detail=str(error))

    async def closed() -> None:
        on_close()

    client = NatsClient(address.tls)
    await client.connect(
        address.servers,
        user=address.user,
        password=address.password,
        name=f"tenantry-{address.user or 'tenantry'}",
        inbox_prefix=address.inbox_prefix,
        connect_timeout=2,
        allow_reconnect=reconnects,
        reconnect_time_wait=0.1,  # type: ignore[arg-type] # fractions are taken
        max_reconnect_attempts=-1,
        ping_interval=5,
        max_outstanding_pings=2,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        closed_cb=closed,
        error_cb=failed,
        skip_subject_validation=True,
    )
    return client
