"""Audit as a process on the stream: what is published is recorded, whatever stops meanwhile."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest
from chassis.streams import bootstrap
from contracts.events import ADDRESS_HEADER, AGENT_HEADER
from contracts.examples import example_event
from contracts.ids import new_id
from contracts.topology import STREAM
from contracts.users import UserCreated
from outbox.inbox import ReceivedEvent
from support.owner import ENCRYPTION_KEYS, HASH_KEYS, Owner, heard, heard_lifecycle
from support.waiting import until
from tenantry.dev.health_probe import is_ready
from tenantry.servers import Servers
from tenantry.servers.ports import HOST, free_ports


@asynccontextmanager
async def running(servers: Servers) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m audit`, ready, and killed at the end."""
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "audit",
        env={
            "TENANTRY_NATS_URL": servers.nats_url("audit"),
            "TENANTRY_DATABASE_URL": servers.database_url("audit"),
            "TENANTRY_HTTP_HOST": HOST,
            "TENANTRY_HTTP_PORT": str(port),
            "TENANTRY_HASH_KEYS": HASH_KEYS,
            "TENANTRY_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
            "TENANTRY_AUDIT_RETENTION_DAYS": "36500",
        },
    )
    try:
        await until(lambda: is_ready(port), 20)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def publish(servers: Servers, events: list[ReceivedEvent]) -> None:
    client = await nats.connect(servers.nats_url("admin"), inbox_prefix=b"_INBOX_admin")
    try:
        for each in events:
            headers = {"Nats-Msg-Id": each.id, ADDRESS_HEADER: "203.0.113.7", AGENT_HEADER: '"é"'}
            await client.jetstream().publish(
                each.subject, each.payload, stream=STREAM, headers=headers
            )
    finally:
        await client.close()


@pytest.fixture
async def stream(servers: Servers) -> Servers:
    await bootstrap(servers.nats_url("admin"))
    return servers


CREATED = example_event(UserCreated)["data"]


async def test_what_is_published_is_recorded_by_replicas_that_come_and_go(
    audit: Owner, stream: Servers, tenant: str
) -> None:
    events = [heard(tenant, "user.created", new_id("usr"), CREATED) for _ in range(300)]

    async def recorded(count: int) -> bool:
        found = await audit.pool.fetchval(
            "SELECT count(*) FROM events WHERE tenant_id = $1", tenant
        )
        return found >= count

    async with running(stream) as first, running(stream):
        await publish(stream, events[:150])
        await until(lambda: recorded(50), 20)
        first.kill()
        await publish(stream, events[150:])
        await until(lambda: recorded(300), 30)
    rows = await audit.pool.fetch(
        "SELECT sequence, id FROM events WHERE tenant_id = $1 ORDER BY sequence", tenant
    )
    assert [row["sequence"] for row in rows] == list(range(1, 301))
    assert {row["id"] for row in rows} == {each.id for each in events}
    row = await audit.pool.fetchrow("SELECT * FROM personal WHERE tenant_id = $1", tenant)
    assert (row["ip_address"], row["user_agent"]) == ("203.0.113.7", "é")


async def test_a_tenant_is_erased_and_the_stream_is_informed(
    audit: Owner, stream: Servers, tenant: str
) -> None:
    client = await nats.connect(stream.nats_url("admin"), inbox_prefix=b"_INBOX_admin")
    confirmations = await client.subscribe("tenantry.lifecycle.audit.tenant.erased")
    async with running(stream):
        await publish(
            stream,
            [
                heard(tenant, "user.created", new_id("usr"), CREATED),
                heard_lifecycle(tenant, "tenant.deletion_requested"),
            ],
        )
        message = await confirmations.next_msg(timeout=20)
    await client.close()
    assert tenant.encode() in message.data
    assert (
        await audit.pool.fetchval("SELECT count(*) FROM events WHERE tenant_id = $1", tenant) == 0
    )
