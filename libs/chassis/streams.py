"""The stream and its durable consumers, by the topology; services declare nothing themselves.

`bootstrap` runs at every start of an installation: it creates what is missing and updates what
differs. `watch` stays and creates again what vanishes. Whoever may create a consumer may have it
send to any subject (nats-server #8274): so subscribers of other teams get theirs from here too.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from contracts.topology import (
    EVENTS_PREFIX,
    SERVICES,
    STREAM,
    STREAM_SUBJECTS,
    SUBSCRIBER_PREFIX,
)
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from chassis.nats_client import NatsClient, parse_nats_urls
from chassis.stream_erasure import erase_people

log = structlog.get_logger()

DAY = 86_400.0
ACK_WAIT = 5.0
"""Seconds until a message that was sent and not acked is sent again."""
SUBSCRIBER_ACK_WAIT = 30.0
WATCH_SECONDS = 2.0
CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Fault:
    """The stream or a consumer (`stream EVENTS`, `consumer audit`) that is missing or differs."""

    what: str
    is_missing: bool


@dataclass(frozen=True)
class Subscriber:
    """A service of another team: `<name>` or `<name>=<filter>`, the filter within the events."""

    name: str
    filter: str = f"{EVENTS_PREFIX}.>"

    @staticmethod
    def parse(text: str) -> "Subscriber":
        """Raises ValueError."""
        name, _, subject = text.partition("=")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
            raise ValueError(f"{name!r} is no name: use lower case letters, digits and hyphens")
        given = Subscriber(name, subject) if subject else Subscriber(name)
        if not re.fullmatch(rf"{re.escape(EVENTS_PREFIX)}(\.([a-z_]+|\*))*(\.>)?", given.filter):
            raise ValueError(f"{subject!r} is no subject within {EVENTS_PREFIX}.>")
        return given

    @property
    def durable(self) -> str:
        return SUBSCRIBER_PREFIX + self.name


async def bootstrap(
    urls: str, replicas: int | None = None, subscribers: Sequence[Subscriber] = ()
) -> None:
    """Creates the stream and its consumers. `urls` name a user with the whole JetStream API.

    `replicas` is on how many servers of a cluster they are kept; None leaves that as it is.
    """
    async with connected(urls) as client:
        await _create(client.jetstream(), replicas, subscribers)


async def watch(
    urls: str, replicas: int | None = None, subscribers: Sequence[Subscriber] = ()
) -> None:
    """The same, and again whenever some of it has vanished; runs until cancelled. Erases the
    messages about deleted people.

    What differs is left alone: during a release the older of two watchers would undo the newer's.
    """
    async with connected(urls, waits=True) as client:
        js = client.jetstream()
        await _create(js, replicas, subscribers)
        log.info("streams_watched")
        await asyncio.gather(_watch(js, replicas, subscribers), _erase_people(js))


async def _erase_people(js: JetStreamContext) -> None:
    while True:
        try:
            await erase_people(js, lambda count: log.info("messages_erased", count=count))
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("stream_erasure_interrupted", error=type(error).__name__)
            await asyncio.sleep(WATCH_SECONDS)


async def _watch(
    js: JetStreamContext, replicas: int | None, subscribers: Sequence[Subscriber]
) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            missing = [fault.what for fault in await faults(js, subscribers) if fault.is_missing]
            if missing:
                await _create(js, replicas, subscribers)
                log.warning("streams_created_again", missing=missing)
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("streams_unwatched", error=type(error).__name__)


@asynccontextmanager
async def connected(urls: str, *, waits: bool = False) -> AsyncIterator[Client]:
    """A connection of the admin user; with `waits`, once a server is there, and it reconnects.

    Raises OSError, TimeoutError or `nats.errors.Error` when there is no server or no right to it,
    ValueError when `urls` cannot be read.
    """
    address = parse_nats_urls(urls)
    reasons: list[Exception] = []

    async def failed(error: Exception) -> None:
        reasons[:] = [error]
        if waits:
            log.warning("nats_error", error=type(error).__name__, detail=str(error))

    try:
        client = NatsClient(address.tls)
        await client.connect(
            address.servers,
            user=address.user,
            password=address.password,
            connect_timeout=CONNECT_SECONDS,
            allow_reconnect=waits,
            max_reconnect_attempts=-1 if waits else 1,
            reconnect_time_wait=1,
            inbox_prefix=address.inbox_prefix,
            error_cb=failed,
        )
    except NoServersError as error:
        raise (reasons[0] if reasons else error) from None
    try:
        yield client
    finally:
        await client.close()


async def faults(js: JetStreamContext, subscribers: Sequence[Subscriber] = ()) -> list[Fault]:
    """What is missing or differs from the contracts; empty when all is well."""
    stream = f"stream {STREAM}"
    wanted = {each.name: each.consumes for each in SERVICES}
    wanted |= {each.durable: (each.filter,) for each in subscribers}
    try:
        subjects = (await js.stream_info(STREAM)).config.subjects or []
    except NotFoundError:
        return [Fault(what, True) for what in (stream, *map(_named, wanted))]
    found = [] if sorted(subjects) == sorted(STREAM_SUBJECTS) else [Fault(stream, False)]
    for name, consumes in wanted.items():
        try:
            config = (await js.consumer_info(STREAM, name)).config
        except NotFoundError:
            found.append(Fault(_named(name), is_missing=True))
            continue
        subjects = config.filter_subjects or [config.filter_subject]
        if sorted(map(str, subjects)) != sorted(consumes):
            found.append(Fault(_named(name), is_missing=False))
    return found


def _named(consumer: str) -> str:
    return f"consumer {consumer}"


async def _create(
    js: JetStreamContext, replicas: int | None, subscribers: Sequence[Subscriber]
) -> None:
    await _stream(js, replicas)
    for service in SERVICES:
        await js.add_consumer(STREAM, consumer_config(service.name))
    for each in subscribers:
        await js.add_consumer(STREAM, _subscriber_config(each))


async def _stream(js: JetStreamContext, replicas: int | None) -> None:
    config = StreamConfig(
        name=STREAM, subjects=list(STREAM_SUBJECTS), max_age=7 * DAY, duplicate_window=120.0
    )
    try:
        kept = (await js.stream_info(STREAM)).config.num_replicas
    except NotFoundError:
        await js.add_stream(config, num_replicas=replicas or 1)
    else:
        await js.update_stream(config, num_replicas=replicas or kept)


def consumer_config(service: str) -> ConsumerConfig:
    """The durable consumer of a service."""
    (consumes,) = (each.consumes for each in SERVICES if each.name == service)
    return ConsumerConfig(
        name=service,
        durable_name=service,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        filter_subjects=list(consumes),
        max_deliver=-1,
        ack_wait=ACK_WAIT,
        max_ack_pending=2048,
    )


def _subscriber_config(subscriber: Subscriber) -> ConsumerConfig:
    """Pulled from, never pushed; from the oldest event in the stream on."""
    return ConsumerConfig(
        name=subscriber.durable,
        durable_name=subscriber.durable,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        filter_subject=subscriber.filter,
        max_deliver=-1,
        ack_wait=SUBSCRIBER_ACK_WAIT,
    )
