"""The broker as its admin user, whose failures say what to do."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from chassis import streams
from chassis.telemetry import configure_logging
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tenantry.failing import Failed


async def bootstrap(url: str) -> None:
    try:
        await streams.bootstrap(url)
    except (NatsError, OSError, TimeoutError) as error:
        raise _away(url, error) from None


async def watch(url: str) -> None:
    """Until SIGTERM or SIGINT. Waits for the broker, however long that takes."""
    configure_logging("bootstrap", "INFO")
    watching = asyncio.create_task(streams.watch(url))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, watching.cancel)
    await asyncio.wait({watching})
    if not watching.cancelled() and (error := watching.exception()):
        raise _away(url, error)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    try:
        async with streams.connected(url) as client:
            yield client
    except (NatsError, OSError, TimeoutError) as error:
        raise _away(url, error) from None


def _away(url: str, error: BaseException) -> Failed:
    parts = urlsplit(url)
    return Failed(
        f"NATS at {parts.hostname}:{parts.port}: {error or type(error).__name__}",
        "Check TENANTRY_NATS_ADMIN_URL, that the server runs with JetStream, and that the user is "
        "its admin.",
        code="broker_away",
    )
