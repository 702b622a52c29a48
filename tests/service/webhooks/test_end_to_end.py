"""End to end: the service as a process, an event on the stream, and a receiver that gets it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import nats
import orjson
import pytest
from chassis import migrations, streams
from chassis.rpc.client import call_service
from contracts import webhooks as calls
from contracts.context import Context
from contracts.events import CONTENT_TYPE
from contracts.ids import new_id
from contracts.topology import STREAM
from nats.aio.client import Client
from service.webhooks.client import make_event
from service.webhooks.receivers import wait_for_requests
from service.webhooks.runners import run_webhooks
from standardwebhooks.webhooks import Webhook
from support.owner import TRACE
from support.waiting import until
from support.webhook_receiver import Receiver
from tenantry.servers import Servers
from webhooks.fanout import FEW_WEBHOOKS


@pytest.fixture(scope="module")
async def service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """`python -m webhooks`, ready; the URL of its health endpoints."""
    await asyncio.to_thread(migrations.upgrade, "webhooks", servers.migration_url("webhooks"))
    await streams.bootstrap(servers.nats_url("admin"))
    log = tmp_path_factory.mktemp("service") / "log"
    async with run_webhooks(servers, log) as started:
        yield started.url
    assert started.process.returncode == 0, log.read_text()
    assert "private_addresses_allowed" in log.read_text()
    assert "whsec_" not in log.read_text()


@pytest.fixture
async def nats_client(servers: Servers) -> AsyncIterator[Client]:
    """A connection that may call services and publish events."""
    client = await nats.connect(servers.nats_url("admin"), inbox_prefix=b"_INBOX_admin")
    yield client
    await client.close()


async def test_an_event_of_another_service_reaches_the_receiver(
    service: str, nats_client: Client, tenant: str, receiver: Receiver
) -> None:
    context = Context(
        tenant_id=tenant, request_id=new_id("req"), traceparent=TRACE, deadline=time.time() + 5
    )
    body = orjson.dumps({"url": receiver.url, "events": ["user.created"]})
    reply = await call_service(nats_client, calls.CREATE_WEBHOOK, context, body)
    assert reply.status == 201, reply.body
    webhook = orjson.loads(reply.body)
    event = make_event(tenant)
    for _ in range(2):
        await nats_client.jetstream().publish(
            event.subject,
            event.payload,
            stream=STREAM,
            headers={"Content-Type": CONTENT_TYPE},
        )
    await wait_for_requests(receiver, 1, 10)
    (request,) = receiver.received
    sent = Webhook(webhook["secret"]).verify(request.body, request.headers)
    assert (sent["id"], sent["type"]) == (event.id, "user.created")
    assert request.body == event.payload


async def test_a_tenant_with_many_webhooks_gets_its_deliveries_as_well(
    service: str, nats_client: Client, tenant: str, receiver: Receiver
) -> None:
    for _ in range(FEW_WEBHOOKS + 4):
        context = Context(
            tenant_id=tenant, request_id=new_id("req"), traceparent=TRACE, deadline=time.time() + 5
        )
        body = orjson.dumps({"url": receiver.url, "events": ["*"]})
        reply = await call_service(nats_client, calls.CREATE_WEBHOOK, context, body)
        assert reply.status == 201, reply.body
    event = make_event(tenant)
    await nats_client.jetstream().publish(event.subject, event.payload, stream=STREAM)

    def of_event() -> int:
        return sum(event.id.encode() in each.body for each in receiver.received)

    async def all_came() -> bool:
        return of_event() == FEW_WEBHOOKS + 4

    await until(all_came, 10)
    async with aiohttp.ClientSession() as http, http.get(f"{service}/health") as answer:
        assert (await answer.json())["checks"]["fan_out"]["status"] == "ok"


async def test_health_reports_the_stream(service: str) -> None:
    async with aiohttp.ClientSession() as http:

        async def healthy() -> dict[str, Any] | None:
            async with http.get(f"{service}/health") as answer:
                report: dict[str, Any] = await answer.json()
            return report if report["status"] == "ok" else None

        report = await until(healthy)
    assert report
    assert set(report["checks"]) >= {"nats", "database", "events"}
