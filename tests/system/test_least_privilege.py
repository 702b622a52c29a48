"""Each service may say, hear and change only what is its own, whatever its code tries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import nats
import pytest
from contracts.topology import SERVICE_NAMES
from nats.aio.client import Client
from nats.aio.msg import Msg
from tenantry.dev.services import PASSED_ON, child_spec
from tenantry.servers import Servers


@asynccontextmanager
async def connected(servers: Servers, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client of that user, and what the server refused it."""
    refused: list[str] = []

    async def heard(error: Exception) -> None:
        refused.append(str(error))

    client = await nats.connect(
        servers.nats_url(user), inbox_prefix=f"_INBOX_{user}".encode(), error_cb=heard
    )
    try:
        yield client, refused
    finally:
        await client.close()


async def settled(client: Client) -> None:
    # nats-py writes a flush's PING ahead of what waits to be written: the second comes after it.
    await client.flush()
    await client.flush()


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("webhooks", "tenantry.events.identity.user.created"),
        ("webhooks", "tenantry.lifecycle.identity.tenant.erased"),
        ("webhooks", "tenantry.rpc.identity.get_user"),
        ("webhooks", "_INBOX_identity.anything"),
        ("webhooks", "_INBOX_edge.projects.anything"),
        ("webhooks", "$JS.API.STREAM.DELETE.EVENTS"),
        ("webhooks", "$JS.API.CONSUMER.CREATE.EVENTS.webhooks"),
        ("webhooks", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.audit"),
        ("webhooks", "$JS.ACK.EVENTS.audit.1.1.1.1.0"),
        ("identity", "tenantry.rpc.projects.create_project"),
        ("audit", "tenantry.events.projects.api_key.revoked"),
        ("edge", "tenantry.events.projects.api_key.revoked"),
        ("subscriber", "tenantry.events.identity.user.created"),
        ("subscriber", "tenantry.lifecycle.projects.tenant.deletion_requested"),
        ("subscriber", "tenantry.rpc.identity.get_user"),
        ("subscriber", "_INBOX_identity.anything"),
        ("subscriber", "$JS.API.STREAM.DELETE.EVENTS"),
        ("subscriber", "$JS.API.STREAM.MSG.GET.EVENTS"),
        ("subscriber", "$JS.API.CONSUMER.DELETE.EVENTS.subscriber-x"),
        ("subscriber", "$JS.API.CONSUMER.CREATE.EVENTS.subscriber-x"),
        ("subscriber", "$JS.API.CONSUMER.CREATE.EVENTS.subscriber-x.tenantry.lifecycle.>"),
        ("subscriber", "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.subscriber-x"),
    ],
)
async def test_nobody_says_what_is_not_his(servers: Servers, user: str, subject: str) -> None:
    async with connected(servers, user) as (client, refused):
        await client.publish(subject, b"")
        await settled(client)
        assert any("permissions violation for publish" in each.lower() for each in refused)


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("webhooks", "tenantry.rpc.identity.>"),
        ("webhooks", "_INBOX_identity.>"),
        ("webhooks", "_INBOX_edge.>"),
        ("webhooks", "tenantry.events.>"),
        ("edge", "tenantry.events.>"),
        ("edge", "tenantry.rpc.>"),
        ("audit", ">"),
        ("subscriber", "tenantry.lifecycle.>"),
        ("subscriber", "tenantry.>"),
        ("subscriber", "_INBOX_audit.>"),
    ],
)
async def test_nobody_hears_what_is_not_his(servers: Servers, user: str, subject: str) -> None:
    async with connected(servers, user) as (client, refused):
        await client.subscribe(subject)
        await settled(client)
        assert any("permissions violation for subscription" in each.lower() for each in refused)


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_service_answers_the_edge(servers: Servers, service: str) -> None:
    async with (
        connected(servers, service) as (owner, refused),
        connected(servers, "edge") as (edge, refused_edge),
    ):

        async def answer(message: Msg) -> None:
            await owner.publish(message.reply, b"done")

        await owner.subscribe(f"tenantry.rpc.{service}.anything", queue="q", cb=answer)
        await settled(owner)
        reply = await edge.request(f"tenantry.rpc.{service}.anything", b"", timeout=2)
        assert reply.data == b"done"
        assert refused == refused_edge == []


async def test_identity_may_ask_for_a_signature(servers: Servers) -> None:
    async with (
        connected(servers, "projects") as (projects, _),
        connected(servers, "identity") as (identity, refused),
    ):

        async def sign(message: Msg) -> None:
            await message.respond(b"signed")

        await projects.subscribe("tenantry.rpc.projects.sign_token", cb=sign)
        await settled(projects)
        reply = await identity.request("tenantry.rpc.projects.sign_token", b"", timeout=2)
        assert reply.data == b"signed"
        assert refused == []


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_database_lets_only_its_own_roles_in(servers: Servers, service: str) -> None:
    for database in set(SERVICE_NAMES) - {service}:
        url = servers.database_url(service).removesuffix(service) + database
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(url)


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_runtime_role_cannot_change_the_schema(servers: Servers, service: str) -> None:
    connection = await asyncpg.connect(servers.database_url(service))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine (id int)")
    finally:
        await connection.close()


async def test_the_console_is_told_of_the_edge_and_redis_alone(servers: Servers) -> None:
    ports = {"console": 1, "console-management": 2, "edge": 3}
    env = child_spec("console", servers, ports).program.env
    told = {name for name in env if name.startswith("TENANTRY_")} - set(PASSED_ON)
    assert told - {"TENANTRY_REDIS_URL"} == {
        "TENANTRY_HTTP_HOST",
        "TENANTRY_HTTP_PORT",
        "TENANTRY_MANAGEMENT_PORT",
        "TENANTRY_CONSOLE_EDGE_URL",
        "TENANTRY_CONSOLE_KEYS",
        "TENANTRY_PROXY_KEY",
    }
    of_others = {*servers.secrets.nats.values(), *servers.secrets.postgres.values()}
    of_others |= {servers.secrets.operator_key, *servers.secrets.hash_keys.values()}
    assert of_others & set(env.values()) == set()
