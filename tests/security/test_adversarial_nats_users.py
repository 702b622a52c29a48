"""A process that was taken over has its NATS password: what it publishes stays its own.

The adversary is a plain client of that user, on a server with deploy/nats/nats.conf. What the
server cannot refuse (a consumer delivers to whatever subject a pull request names, nats-server
#8274) our processes do not believe.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import orjson
import pytest
from chassis.encryption import Keyring
from chassis.health import Health
from chassis.nats_client import connect
from chassis.request import Reply, Request
from chassis.rpc.client import call_service, encode_context
from chassis.rpc.server import Server
from chassis.settings import ServiceSettings
from chassis.streams import Subscriber, bootstrap
from chassis.unit_of_work import UnitOfWork, read_only
from contracts.context import CONTEXT_HEADER, REPLY_HEADER, Context
from contracts.ids import new_id
from contracts.problems import Problem
from contracts.projects import GET_PROJECT
from contracts.topology import SERVICE_NAMES, STREAM
from nats.aio.client import Client
from nats.aio.msg import Msg
from outbox.relay import _is_acked
from support.owner import ENCRYPTION_KEYS, HASH_KEYS, TRACE
from support.waiting import until
from tenantry.servers import Servers

USERS = (*SERVICE_NAMES, "edge", "subscriber")
API = "$JS.API"
SUBSCRIBER = Subscriber("adversary")
NEXT = f"{API}.CONSUMER.MSG.NEXT.{STREAM}"


@asynccontextmanager
async def connected(servers: Servers, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client of that user, and what the server refused it."""
    refused: list[str] = []

    async def failed(error: Exception) -> None:
        refused.append(str(error).lower())

    client = await nats.connect(
        servers.nats_url(user), inbox_prefix=f"_INBOX_{user}".encode(), error_cb=failed
    )
    try:
        yield client, refused
    finally:
        await client.close()


@pytest.fixture
async def stream(servers: Servers) -> Servers:
    await bootstrap(servers.nats_url("admin"), subscribers=[SUBSCRIBER])
    return servers


async def settled(client: Client) -> None:
    # nats-py writes a flush's PING ahead of what waits to be written: the second comes after it.
    await client.flush()
    await client.flush()


async def is_refused(servers: Servers, user: str, subject: str, what: str) -> bool:
    """Whether the server refuses to publish to, or to subscribe to, the subject."""
    async with connected(servers, user) as (client, refused):
        if what == "publish":
            await client.publish(subject, b"{}")
        else:
            await client.subscribe(subject)
        await settled(client)
        return any(f'{what} to "{subject.lower()}"' in each for each in refused)


@pytest.mark.parametrize("user", USERS)
async def test_nobody_makes_a_consumer_or_touches_the_stream(stream: Servers, user: str) -> None:
    names = ("mine", user, "subscriber-mine", *SERVICE_NAMES)
    subjects = [
        *(f"{API}.CONSUMER.CREATE.{STREAM}.{name}" for name in names),
        *(f"{API}.CONSUMER.CREATE.{STREAM}.{name}.tenantry.events.>" for name in names),
        *(f"{API}.CONSUMER.DURABLE.CREATE.{STREAM}.{name}" for name in names),
        *(f"{API}.CONSUMER.DELETE.{STREAM}.{name}" for name in names),
        *(f"{API}.CONSUMER.PAUSE.{STREAM}.{name}" for name in names),
        f"{API}.CONSUMER.CREATE.{STREAM}",
        f"{API}.CONSUMER.LIST.{STREAM}",
        f"{API}.STREAM.CREATE.MINE",
        f"{API}.STREAM.UPDATE.{STREAM}",
        f"{API}.STREAM.DELETE.{STREAM}",
        f"{API}.STREAM.PURGE.{STREAM}",
        f"{API}.STREAM.MSG.GET.{STREAM}",
        f"{API}.STREAM.MSG.DELETE.{STREAM}",
        f"{API}.DIRECT.GET.{STREAM}",
        f"{API}.STREAM.RESTORE.{STREAM}",
        f"{API}.STREAM.SNAPSHOT.{STREAM}",
    ]
    async with connected(stream, user) as (client, refused):
        for subject in subjects:
            await client.publish(subject, b"{}")
        await settled(client)
        found = " ".join(refused)
        assert [each for each in subjects if f'publish to "{each.lower()}"' not in found] == []


@pytest.mark.parametrize("user", USERS)
async def test_nobody_reads_by_the_consumer_of_another(stream: Servers, user: str) -> None:
    for service in {*SERVICE_NAMES} - {user}:
        for subject in (f"{NEXT}.{service}", f"$JS.ACK.{STREAM}.{service}.1.1.1.1.0"):
            assert await is_refused(stream, user, subject, "publish")


@pytest.mark.parametrize("user", USERS)
async def test_nobody_answers_or_listens_as_another(stream: Servers, user: str) -> None:
    subjects = [f"_INBOX_{other}.>" for other in {*USERS, "admin"} - {user}]
    subjects += ["_INBOX.>", ">", "$JS.>", "$SRV.>", "_R_.>"]
    for service in {*SERVICE_NAMES} - {user}:
        subjects += [f"tenantry.rpc.{service}.>", f"tenantry.rpc.{service}.health"]
        subjects += [f"$SRV.PING.tenantry-{service}"]
    for subject in subjects:
        assert await is_refused(stream, user, subject, "subscription"), subject


@pytest.mark.parametrize("user", USERS)
async def test_nobody_tells_the_events_of_another(stream: Servers, user: str) -> None:
    for service in {*SERVICE_NAMES} - {user}:
        for subject in (
            f"tenantry.events.{service}.user.deleted",
            f"tenantry.lifecycle.{service}.tenant.deletion_requested",
        ):
            assert await is_refused(stream, user, subject, "publish")


@asynccontextmanager
async def projects(servers: Servers) -> AsyncIterator[list[str]]:
    """A service that answers; the list has who called."""
    callers: list[str] = []

    @read_only(on_pool=True)
    async def get_project(_: object, request: Request) -> Reply:
        callers.append(request.context.request_id)
        return Reply(b"{}")

    settings = ServiceSettings(
        database_url="postgresql://nowhere", hash_keys=HASH_KEYS, encryption_keys=ENCRYPTION_KEYS
    )
    keyring = Keyring(settings)
    pool = None
    server = Server("projects", UnitOfWork(pool, keyring, lambda: None), keyring)  # type: ignore[arg-type]
    client = await connect(servers.nats_url("projects"))
    await server.start(client, {GET_PROJECT: get_project}, Health())
    await client.flush()
    try:
        yield callers
    finally:
        await server.stop()
        await client.close()


def forged_context(request_id: str) -> Context:
    return Context(
        tenant_id=new_id("ten"),
        actor_type="operator",
        scopes=("*",),
        request_id=request_id,
        traceparent=TRACE,
        path={"id": new_id("prj")},
        deadline=4_000_000_000.0,
    )


async def test_an_event_that_is_delivered_as_a_call_calls_nobody(stream: Servers) -> None:
    """A service may publish events with any header, and pull them to any subject."""
    async with (
        projects(stream) as callers,
        connected(stream, "webhooks") as (webhooks, _),
        connected(stream, "edge") as (edge, _),
    ):
        headers = {CONTEXT_HEADER: encode_context(forged_context("forged"))}
        await webhooks.jetstream().publish(
            "tenantry.events.webhooks.forged", b"", headers=headers, stream=STREAM
        )
        request = orjson.dumps({"batch": 1000, "no_wait": True})
        await webhooks.publish(f"{NEXT}.webhooks", request, reply=GET_PROJECT.subject)
        info = f"{API}.CONSUMER.INFO.{STREAM}.webhooks"
        await webhooks.publish(info, b"", reply=GET_PROJECT.subject)
        await settled(webhooks)

        async def is_delivered() -> bool:
            found = await webhooks.jetstream().consumer_info(STREAM, "webhooks")
            return found.num_pending == 0

        await until(is_delivered)
        context = forged_context("honest")
        assert (await call_service(edge, GET_PROJECT, context)).status == 200
        assert callers == ["honest"]


async def test_an_event_that_is_delivered_as_an_answer_answers_nobody(stream: Servers) -> None:
    edge = await connect(stream.nats_url("edge"))
    asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def hold(message: Msg) -> None:
        asked.set_result(message.reply)

    async with (
        connected(stream, "projects") as (owner, _),
        connected(stream, "webhooks") as (webhooks, _),
    ):
        await owner.subscribe(GET_PROJECT.subject, cb=hold)
        await settled(owner)
        reply = await edge.publish_request(GET_PROJECT.subject, b"")
        inbox = await asyncio.wait_for(asked, 5)
        forged = {REPLY_HEADER: json.dumps({"status": 200, "headers": {}})}
        token = inbox.rpartition(".")[2]
        await webhooks.jetstream().publish(
            f"tenantry.events.webhooks.{token}", b"forged", headers=forged, stream=STREAM
        )
        request = orjson.dumps({"batch": 1000, "expires": 200_000_000})
        await webhooks.publish(f"{NEXT}.webhooks", request, reply=inbox)

        async def is_delivered() -> bool:
            found = await webhooks.jetstream().consumer_info(STREAM, "webhooks")
            return found.num_pending == 0

        await until(is_delivered)
        await owner.publish(inbox, b"honest")
        assert (await asyncio.wait_for(reply, 5)).data in (b"honest", b"")
    await edge.close()


async def test_an_answer_of_the_broker_is_none_of_a_service(stream: Servers) -> None:
    """Whoever may ask the broker may have it answer anywhere: that is a 503, no crash, no ack."""
    edge = await connect(stream.nats_url("edge"))
    async with (
        connected(stream, "projects") as (owner, _),
        connected(stream, "webhooks") as (webhooks, _),
    ):

        async def redirect(message: Msg) -> None:
            await webhooks.publish(f"{API}.INFO", b"", reply=message.reply)

        await owner.subscribe(GET_PROJECT.subject, cb=redirect)
        await settled(owner)
        with pytest.raises(Problem) as refused:
            await call_service(edge, GET_PROJECT, forged_context("honest"))
        assert refused.value.status == 503
        reply = await edge.publish_request(GET_PROJECT.subject, b"")
        await asyncio.wait({reply}, timeout=5)
        assert reply.done()
        assert not _is_acked(reply)
    await edge.close()
