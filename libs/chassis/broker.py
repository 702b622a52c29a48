"""The connection to NATS, made by FastStream and shared by requests and events."""

from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from faststream.nats import NatsBroker
from nats.aio.client import Client

log = structlog.get_logger()


def make_broker(url: str, on_reconnect: Callable[[], None] = lambda: None) -> NatsBroker:
    """A broker that reconnects for ever, with the inbox prefix of its own user."""
    user = urlsplit(url).username or "tenantry"

    async def disconnected() -> None:
        log.warning("nats_disconnected")

    async def reconnected() -> None:
        log.info("nats_reconnected")
        on_reconnect()

    async def failed(error: Exception) -> None:
        log.warning("nats_error", error=type(error).__name__, detail=str(error))

    return NatsBroker(
        url,
        name=f"tenantry-{user}",
        inbox_prefix=f"_INBOX_{user}",
        connect_timeout=2,
        reconnect_time_wait=0.1,  # type: ignore[arg-type]  # nats-py takes fractions
        max_reconnect_attempts=-1,
        ping_interval=5,
        max_outstanding_pings=2,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        error_cb=failed,
        logger=None,
    )


async def connect(broker: NatsBroker) -> Client:
    """The plain client below the broker, connected; waits until the server is there."""
    await broker.connect()
    return broker.connection
