"""NATS as its admin user: the stream, its consumers, and errors that say what to do."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chassis import streams, tls
from chassis.nats_client import parse_nats_urls
from chassis.stream_erasure import erase_people
from chassis.telemetry import configure_logging
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tenantry.errors import CommandFailed, Misconfigured


async def bootstrap(urls: str, replicas: int | None, subscribers: Sequence[str]) -> None:
    wanted = _parsed(subscribers)
    try:
        await streams.bootstrap(_checked(urls), replicas, wanted)
    except (NatsError, OSError, TimeoutError) as error:
        raise _unavailable(urls, error) from None


async def erase(urls: str) -> None:
    """Erases the messages about people who have been deleted so far."""
    async with connect(urls) as client:
        await erase_people(client.jetstream(), lambda _: None, until_done=True)


async def watch(urls: str, replicas: int | None, subscribers: Sequence[str]) -> None:
    """Until SIGTERM or SIGINT. Waits for NATS, however long that takes."""
    wanted = _parsed(subscribers)
    configure_logging("bootstrap", "INFO")
    watch_task = asyncio.create_task(streams.watch(_checked(urls), replicas, wanted))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, watch_task.cancel)
    await asyncio.wait({watch_task})
    if not watch_task.cancelled() and (error := watch_task.exception()):
        raise _unavailable(urls, error)


@asynccontextmanager
async def connect(urls: str) -> AsyncIterator[Client]:
    try:
        async with streams.connected(_checked(urls)) as client:
            yield client
    except (NatsError, OSError, TimeoutError) as error:
        raise _unavailable(urls, error) from None


def _parsed(subscribers: Sequence[str]) -> list[streams.Subscriber]:
    try:
        return [streams.Subscriber.parse(each) for each in subscribers]
    except ValueError as error:
        raise Misconfigured(
            f"TENANTRY_SUBSCRIBERS: {error}",
            "Write it as names, with a filter if one is wanted: "
            '"billing crm=tenantry.events.identity.>".',
            variable="TENANTRY_SUBSCRIBERS",
        ) from None


def _checked(urls: str) -> str:
    try:
        parse_nats_urls(urls)
    except ValueError as error:
        raise Misconfigured(
            f"TENANTRY_NATS_ADMIN_URL {error}",
            "Write it as nats://admin:password@host:4222, several servers by commas.",
            variable="TENANTRY_NATS_ADMIN_URL",
        ) from None
    return urls


def _unavailable(urls: str, error: BaseException) -> CommandFailed:
    address = parse_nats_urls(urls)
    is_lost = address.tls is not None and isinstance(error, ConnectionResetError)
    fix = tls.fix_of(error, "NATS", is_lost=is_lost)
    return CommandFailed(
        f"NATS at {address}: {str(error) or type(error).__name__}",
        fix
        or "Check TENANTRY_NATS_ADMIN_URL, that the server runs with JetStream, and that the user "
        "is its admin.",
        code="broker_away",
    )
