"""The connection to NATS, with the inbox prefix of its own user."""

from collections.abc import Callable
from urllib.parse import urlsplit

import nats
import structlog
from nats.aio.client import Client

log = structlog.get_logger()


async def connect(
    url: str,
    on_reconnect: Callable[[], None] = lambda: None,
    on_close: Callable[[], None] = lambda: None,
    *,
    lasting: bool = True,
) -> Client:
    """Waits until the server is there; `lasting` reconnects for ever.

    `on_close` hears of an end for good. A connection that does not last delivers what was sent
    over it in order and without gaps, up to the moment it broke.
    """
    user = urlsplit(url).username or "tenantry"

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
        url,
        name=f"tenantry-{user}",
        inbox_prefix=f"_INBOX_{user}".encode(),
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
