"""The broker as its admin user, whose failures say what to do."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis import streams
from chassis.nats_client import parse_nats_urls
from chassis.telemetry import configure_logging
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tenantry.failing import Failed, Misconfigured


async def bootstrap(urls: str, replicas: int | None) -> None:
    try:
        await streams.bootstrap(_read(urls), replicas)
    except (NatsError, OSError, TimeoutError) as error:
        raise _away(urls, error) from None


async def watch(urls: str, replicas: int | None) -> None:
    """Until SIGTERM or SIGINT. Waits for the broker, however long that takes."""
    configure_logging("bootstrap", "INFO")
    watching = asyncio.create_task(streams.watch(_read(urls), replicas))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, watching.cancel)
    await asyncio.wait({watching})
    if not watching.cancelled() and (error := watching.exception()):
        raise _away(urls, error)


@asynccontextmanager
async def connected(urls: str) -> AsyncIterator[Client]:
    try:
        async with streams.connected(_read(urls)) as client:
            yield client
    except (NatsError, OSError, TimeoutError) as error:
        raise _away(urls, error) from None


def _read(urls: str) -> str:
    try:
        parse_nats_urls(urls)
    except ValueError as error:
        raise Misconfigured(
            f"TENANTRY_NATS_ADMIN_URL {error}",
            "Write it as nats://admin:password@host:4222, several servers by commas.",
            variable="TENANTRY_NATS_ADMIN_URL",
        ) from None
    return urls


def _away(urls: str, error: BaseException) -> Failed:
    return Failed(
        f"NATS at {parse_nats_urls(urls)}: {str(error) or type(error).__name__}",
        "Check TENANTRY_NATS_ADMIN_URL, that the server runs with JetStream, and that the user is "
        "its admin.",
        code="broker_away",
    )
