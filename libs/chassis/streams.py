"""The one step that owns streams and durable consumers; services declare nothing.

Run at every start of an installation: it creates what is missing and updates what differs. `watch`
stays and makes again what vanishes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats
import structlog
from contracts.events import EVENTS_PREFIX, LIFECYCLE_PREFIX, STREAM
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from chassis.nats_client import parse_nats_urls

log = structlog.get_logger()

DAY = 86_400.0
ACK_WAIT = 5.0
"""Seconds until a message that was sent and not acked is sent again."""
WATCH_SECONDS = 2.0
CONNECT_SECONDS = 5

SUBJECTS = [f"{EVENTS_PREFIX}.>", f"{LIFECYCLE_PREFIX}.>"]
"""What the stream keeps."""
CONSUMERS: dict[str, list[str]] = {
    "audit": [
        f"{EVENTS_PREFIX}.>",
        f"{LIFECYCLE_PREFIX}.projects.tenant.>",
        f"{LIFECYCLE_PREFIX}.projects.api_key.>",
    ],
    "webhooks": [f"{EVENTS_PREFIX}.>", f"{LIFECYCLE_PREFIX}.projects.tenant.>"],
    "identity": [
        f"{EVENTS_PREFIX}.projects.project.deleted",
        f"{LIFECYCLE_PREFIX}.projects.tenant.>",
    ],
    "projects": [
        f"{LIFECYCLE_PREFIX}.identity.tenant.erased",
        f"{LIFECYCLE_PREFIX}.webhooks.tenant.erased",
        f"{LIFECYCLE_PREFIX}.audit.tenant.erased",
    ],
}
"""Which subjects each service hears, in order, through the durable consumer of its name."""


@dataclass(frozen=True)
class Fault:
    """What is not as it should be: `stream EVENTS` or `consumer audit`, and how it is."""

    what: str
    is_missing: bool


async def bootstrap(urls: str, replicas: int | None = None) -> None:
    """Makes the stream and its consumers. `urls` name a user with the whole JetStream API.

    `replicas` is on how many servers of a cluster they are kept; None leaves that as it is.
    """
    async with connected(urls) as client:
        await _make(client.jetstream(), replicas)


async def watch(urls: str, replicas: int | None = None) -> None:
    """The same, and again whenever some of it has vanished; runs until cancelled.

    What differs is left alone: during a release the older of two watchers would undo the newer's.
    """
    async with connected(urls, patient=True) as client:
        js = client.jetstream()
        await _make(js, replicas)
        log.info("streams_watched")
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                missing = [fault.what for fault in await faults(js) if fault.is_missing]
                if missing:
                    await _make(js, replicas)
                    log.warning("streams_made_again", missing=missing)
            except (NatsError, OSError, TimeoutError) as error:
                log.warning("streams_unwatched", error=type(error).__name__)


@asynccontextmanager
async def connected(urls: str, *, patient: bool = False) -> AsyncIterator[Client]:
    """A connection of the admin user; a `patient` one waits for a server, and for it again.

    Raises OSError, TimeoutError or `nats.errors.Error` when there is no server or no right to it,
    ValueError when `urls` cannot be read.
    """
    where = parse_nats_urls(urls)
    reasons: list[Exception] = []

    async def failed(error: Exception) -> None:
        reasons[:] = [error]
        if patient:
            log.warning("nats_error", error=type(error).__name__, detail=str(error))

    try:
        client = await nats.connect(
            where.servers,
            user=where.user,
            password=where.password,
            connect_timeout=CONNECT_SECONDS,
            allow_reconnect=patient,
            max_reconnect_attempts=-1 if patient else 1,
            reconnect_time_wait=1,
            inbox_prefix=where.inbox_prefix,
            error_cb=failed,
        )
    except NoServersError as error:
        raise (reasons[0] if reasons else error) from None
    try:
        yield client
    finally:
        await client.close()


async def faults(js: JetStreamContext) -> list[Fault]:
    """What is missing or differs from the contracts; empty when all is well."""
    stream = f"stream {STREAM}"
    try:
        subjects = (await js.stream_info(STREAM)).config.subjects or []
    except NotFoundError:
        return [Fault(what, True) for what in (stream, *map(_named, CONSUMERS))]
    found = [] if sorted(subjects) == sorted(SUBJECTS) else [Fault(stream, False)]
    for name, wanted in CONSUMERS.items():
        try:
            config = (await js.consumer_info(STREAM, name)).config
        except NotFoundError:
            found.append(Fault(_named(name), True))
            continue
        heard = config.filter_subjects or [config.filter_subject]
        if sorted(map(str, heard)) != sorted(wanted):
            found.append(Fault(_named(name), False))
    return found


def _named(consumer: str) -> str:
    return f"consumer {consumer}"


async def _make(js: JetStreamContext, replicas: int | None) -> None:
    await _stream(js, replicas)
    for name, subjects in CONSUMERS.items():
        await js.add_consumer(STREAM, _consumer(name, subjects))


async def _stream(js: JetStreamContext, replicas: int | None) -> None:
    config = StreamConfig(name=STREAM, subjects=SUBJECTS, max_age=7 * DAY, duplicate_window=120.0)
    try:
        kept = (await js.stream_info(STREAM)).config.num_replicas
    except NotFoundError:
        await js.add_stream(config, num_replicas=replicas or 1)
    else:
        await js.update_stream(config, num_replicas=replicas or kept)


def _consumer(name: str, subjects: list[str]) -> ConsumerConfig:
    return ConsumerConfig(
        name=name,
        durable_name=name,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        filter_subjects=subjects,
        max_deliver=-1,
        ack_wait=ACK_WAIT,
        max_ack_pending=2048,
    )
