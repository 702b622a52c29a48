"""The connection to NATS, as one user at one server or several, with that user's inbox prefix."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

import nats
import structlog
from nats.aio.client import Client

log = structlog.get_logger()


@dataclass(frozen=True)
class Address:
    """Servers of one cluster, and who connects to any of them.

    The credentials stand apart from the servers: those that a server tells of need them as well,
    and are known again as those that were named.
    """

    servers: list[str]
    user: str | None
    password: str | None

    @property
    def inbox_prefix(self) -> bytes:
        return f"_INBOX_{self.user or 'tenantry'}".encode()

    def __str__(self) -> str:
        """Without the credentials."""
        return ", ".join(urlsplit(each).netloc for each in self.servers)


def address(urls: str) -> Address:
    """Reads `nats://user:password@host:4222`, or several by commas; the first may speak for all.

    Raises ValueError, with no secret in it, when they cannot be read or name two users.
    """
    servers, credentials = [], []
    for each in filter(None, map(str.strip, urls.split(","))):
        parts = _parts(each)
        if (parts.username is None) is not (parts.password is None):
            raise ValueError("must name a user with a password")
        server = parts.netloc.rpartition("@")[2]
        servers.append(parts._replace(netloc=server, path="").geturl())
        if parts.username is not None and parts.password is not None:
            credentials.append((unquote(parts.username), unquote(parts.password)))
    if not servers:
        raise ValueError("must name a server")
    if len(set(credentials)) > 1:
        raise ValueError("must name the same user and password at every server")
    user, password = credentials[0] if credentials else (None, None)
    return Address(servers, user, password)


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
    lasting: bool = True,
) -> Client:
    """Waits until a server is there; `lasting` reconnects for ever, to whichever is.

    `on_close` hears of an end for good. A connection that does not last delivers what was sent
    over it in order and without gaps, up to the moment it broke.
    """
    where = address(urls)

    async def disconnected() -> None:
        if lasting:
            log.warning("nats_disconnected")

    async def reconnected() -> None:
        log.info("nats_reconnected")
        on_reconnect()

    async def failed(error: Exception) -> None:
        log.warning("nats_error", error=type(error).__name__, detail=str(error))

    async def closed() -> None:
        on_close()

    return await nats.connect(
        where.servers,
        user=where.user,
        password=where.password,
        name=f"tenantry-{where.user or 'tenantry'}",
        inbox_prefix=where.inbox_prefix,
        connect_timeout=2,
        allow_reconnect=lasting,
        reconnect_time_wait=0.1,
        max_reconnect_attempts=-1,
        ping_interval=5,
        max_outstanding_pings=2,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        closed_cb=closed,
        error_cb=failed,
    )
