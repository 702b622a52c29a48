"""What the edge does with events: it forgets the credentials of a tenant that changed."""

import json
from collections.abc import AsyncIterator

import pytest
from chassis.broker import Broker
from chassis.nats_client import connect
from contracts.events import CONTENT_TYPE
from contracts.ids import new_id
from edge.subscribers import router
from support.waiting import until
from tenantry.servers import Servers


class Forgotten:
    """Credentials that only note which tenants are forgotten."""

    def __init__(self) -> None:
        self.tenants: list[str] = []

    def forget_tenant(self, tenant_id: str) -> None:
        self.tenants.append(tenant_id)


@pytest.fixture
async def forgotten(servers: Servers) -> AsyncIterator[Forgotten]:
    client = await connect(servers.nats_url("edge"))
    broker = Broker(client)
    credentials = Forgotten()
    broker.context.set_global("credentials", credentials)
    broker.include_router(router)
    await broker.connect()
    await broker.start()
    await client.flush()
    yield credentials
    await broker.stop()


@pytest.mark.parametrize(
    "subject",
    [
        "tenantry.events.projects.api_key.revoked",
        "tenantry.events.projects.tenant.suspended",
        "tenantry.lifecycle.projects.tenant.deletion_requested",
    ],
)
async def test_a_change_of_a_key_or_a_tenant_is_received(
    forgotten: Forgotten, servers: Servers, subject: str
) -> None:
    tenant = new_id("ten")
    event = json.dumps({"tenantid": tenant, "type": "of a later release", "more": {}}).encode()
    admin = await connect(servers.nats_url("admin"))
    await admin.publish(subject, event, headers={"Content-Type": CONTENT_TYPE})

    async def told() -> list[str]:
        return forgotten.tenants

    assert await until(told) == [tenant]
    await admin.close()


async def test_what_is_no_event_does_not_end_the_subscription(
    forgotten: Forgotten, servers: Servers
) -> None:
    tenant = new_id("ten")
    admin = await connect(servers.nats_url("admin"))
    for body in (b"{", b"[]", json.dumps({"tenantid": tenant}).encode()):
        await admin.publish("tenantry.events.projects.api_key.created", body)

    async def told() -> list[str]:
        return forgotten.tenants

    assert await until(told) == [tenant]
    await admin.close()
