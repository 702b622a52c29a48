"""End to end: the service as a process, an event from another service's stream, a real receiver."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import nats
import orjson
import pytest
from chassis import migrate, rpc, streams
from contracts import webhooks as calls
from contracts.context import Context
from contracts.events import CONTENT_TYPE, STREAM
from contracts.ids import new_id
from nats.aio.client import Client
from service.webhooks.running import running
from service.webhooks.world import heard
from standardwebhooks.webhooks import Webhook
from support.owner import TRACE
from support.waiting import until
from support.webhook_receiver import Receiver
from tenantry.servers import Servers


@pytest.fixture(scope="module")
async def service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """`python -m webhooks`, ready; answers where its health is."""
    await asyncio.to_thread(migrate.upgrade, "webhooks", servers.migration_url("webhooks"))
    await streams.bootstrap(servers.nats_url("admin"))
    log = tmp_path_factory.mktemp("service") / "log"
    async with running(servers, log) as started:
        yield started.url
    assert started.process.returncode == 0, log.read_text()
    assert "private_addresses_allowed" in log.read_text()
    assert "whsec_" not in log.read_text()


@pytest.fixture
async def outside(servers: Servers) -> AsyncIterator[Client]:
    """Somebody who may ask and publish."""
    client = await nats.connect(servers.nats_url("admin"), inbox_prefix=b"_INBOX_admin")
    yield client
    await client.close()


async def test_an_event_of_another_service_reaches_the_customer(
    service: str, outside: Client, tenant: str, endpoint: Receiver
) -> None:
    context = Context(
        tenant_id=tenant, request_id=new_id("req"), traceparent=TRACE, deadline=time.time() + 5
    )
    body = orjson.dumps({"url": endpoint.url, "events": ["user.created"]})
    reply = await rpc.ask(outside, calls.CREATE_WEBHOOK, context, body)
    assert reply.status == 201, reply.body
    made = orjson.loads(reply.body)
    happened = heard(tenant)
    for _ in range(2):
        await outside.jetstream().publish(
            happened.subject,
            happened.payload,
            stream=STREAM,
            headers={"Content-Type": CONTENT_TYPE},
        )

    async def arrived() -> bool:
        return bool(endpoint.received)

    await until(arrived, 10)
    (got,) = endpoint.received
    sent = Webhook(made["secret"]).verify(got.body, got.headers)
    assert (sent["id"], sent["type"]) == (happened.id, "user.created")
    assert got.body == happened.payload


async def test_health_tells_of_the_stream(service: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{service}/health") as answer:
        report = await answer.json()
    assert report["status"] == "ok"
    assert set(report["checks"]) >= {"nats", "database", "events"}
