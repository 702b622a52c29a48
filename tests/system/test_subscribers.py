"""Services of other teams consume events by durables made for them, and can do nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import nats
import pytest
from chassis.streams import Subscriber, bootstrap, watch
from contracts.examples import example_event
from contracts.lifecycle import TenantDeletionRequested
from contracts.topology import SERVICE_NAMES, STREAM
from contracts.users import UserCreated
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from support.waiting import until
from tenantry.servers import Servers

CREATED = "tenantry.events.identity.user.created"
NEXT = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}"


@asynccontextmanager
async def connected(servers: Servers, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client of that user, and what the server refused it."""
    refused: list[str] = []

    async def failed(error: Exception) -> None:
        refused.append(str(error).lower())

    prefix = f"_INBOX_{user}".encode()
    client = await nats.connect(servers.nats_url(user), inbox_prefix=prefix, error_cb=failed)
    try:
        yield client, refused
    finally:
        await client.close()


@pytest.fixture
async def admin(servers: Servers) -> AsyncIterator[Client]:
    """With the stream as it is created, without the events of other tests."""
    await bootstrap(servers.nats_url("admin"))
    async with connected(servers, "admin") as (client, _):
        await client.jetstream().purge_stream(STREAM)
        yield client


@pytest.fixture
async def subscriber(servers: Servers, admin: Client) -> AsyncIterator[tuple[Client, list[str]]]:
    async with connected(servers, "subscriber") as both:
        yield both


async def publish_event(admin: Client) -> dict[str, Any]:
    """An event on the stream, as the relay of its owner publishes it."""
    event = example_event(UserCreated)
    await admin.jetstream().publish(CREATED, json.dumps(event).encode(), stream=STREAM)
    return event


async def create_durable(servers: Servers, filter: str = CREATED) -> str:
    """As `tenantry bootstrap` makes it for a name in TENANTRY_SUBSCRIBERS."""
    wanted = Subscriber.parse(f"t{uuid4().hex}={filter}")
    await bootstrap(servers.nats_url("admin"), subscribers=[wanted])
    return wanted.durable


async def test_a_subscriber_receives_events_from_before_it_existed(
    servers: Servers, admin: Client, subscriber: tuple[Client, list[str]]
) -> None:
    event = await publish_event(admin)
    client, refused = subscriber
    name = await create_durable(servers)
    js = client.jetstream()
    subscription = await js.pull_subscribe(CREATED, name, STREAM)
    messages = await subscription.fetch(1, timeout=5)
    assert json.loads(messages[0].data) == event
    await messages[0].ack_sync(timeout=5)
    assert refused == []
    await admin.jetstream().delete_consumer(STREAM, name)


async def test_a_durable_that_vanishes_is_made_again(servers: Servers, admin: Client) -> None:
    wanted = Subscriber.parse("vanishing=tenantry.events.identity.>")
    watching = asyncio.create_task(watch(servers.nats_url("admin"), subscribers=[wanted]))

    async def is_there() -> bool:
        try:
            info = await admin.jetstream().consumer_info(STREAM, wanted.durable)
        except NotFoundError:
            return False
        return info.config.filter_subject == wanted.filter

    await until(is_there)
    await admin.jetstream().delete_consumer(STREAM, wanted.durable)
    await until(is_there)
    watching.cancel()
    await admin.jetstream().delete_consumer(STREAM, wanted.durable)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Billing",
        "a.b",
        "a*",
        "a=tenantry.lifecycle.>",
        "a=tenantry.>",
        "a=>",
        "a=tenantry.events.>.x",
        "a=tenantry.eventsx",
        "a=tenantry.events.identity.user created",
    ],
)
def test_a_subscriber_reads_events_alone(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        Subscriber.parse(text)


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
async def test_the_durables_of_services_are_out_of_reach(
    subscriber: tuple[Client, list[str]], service: str
) -> None:
    """A service that gets a durable needs its lines under `deny` in deploy/nats/nats.conf."""
    client, refused = subscriber
    attempted = [
        f"$JS.API.CONSUMER.INFO.{STREAM}.{service}",
        f"{NEXT}.{service}",
        f"$JS.ACK.{STREAM}.{service}.1.1.1.1.0",
    ]
    for subject in attempted:
        await client.publish(subject, b"")
    await client.flush()

    async def all_refused() -> bool:
        return all(f'publish to "{each.lower()}"' in " ".join(refused) for each in attempted)

    await until(all_refused, 5)


@pytest.mark.parametrize(
    "elsewhere",
    [
        TenantDeletionRequested.subject("projects"),
        f"$JS.ACK.{STREAM}.audit.1.1.1.1.0",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.audit",
        f"$JS.API.STREAM.PURGE.{STREAM}",
    ],
)
async def test_an_event_that_is_sent_elsewhere_stays_what_it_is(
    servers: Servers, admin: Client, subscriber: tuple[Client, list[str]], elsewhere: str
) -> None:
    """What permissions cannot hold back: a pull request names where its answer is put.

    At worst the stream has an event twice, and its consumers know it by its id.
    """
    await publish_event(admin)
    client, _ = subscriber
    name = await create_durable(servers)
    before = (await admin.jetstream().stream_info(STREAM)).state.messages
    await client.publish(f"{NEXT}.{name}", b"1", reply=elsewhere)
    await publish_event(admin)
    # The next event comes here: the first has gone there, or the request was refused.
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(f"{NEXT}.{name}", b"1", reply=inbox)
    await subscription.next_msg(timeout=5)
    info = await admin.jetstream().stream_info(STREAM, subjects_filter=">")
    assert info.state.messages >= before
    assert all(each.startswith("tenantry.events.") for each in info.state.subjects or {})
    assert await admin.jetstream().consumer_info(STREAM, "audit")
    await admin.jetstream().delete_consumer(STREAM, name)
