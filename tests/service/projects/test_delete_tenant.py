"""A tenant is deleted when every service has erased its part, and not before."""

import asyncio

import asyncpg
import orjson
import pytest
from contracts import tenants as calls
from contracts.context import Context
from contracts.ids import new_id
from contracts.lifecycle import TenantErased
from contracts.projects import CREATE_PROJECT
from outbox.cascade import Cascades, request_cascade
from outbox.inbox import ReceivedEvent, process_once
from outbox.record import create_message
from projects import tenant_erasure
from projects.cascade_steps import STEPS
from projects.cascades import PROJECT
from projects.subscribers import handle_events
from service.projects.client import ProjectsClient
from service.projects.test_descendants import insert_keys
from support.owner import TRACE
from tenantry.servers import Servers

SERVICES = ("identity", "webhooks", "audit")
TABLES = ("projects", "api_keys", "signing_keys", "refusals", "erasures", "idempotency")


def erased(tenant: str, service: str) -> ReceivedEvent:
    """A service's confirmation that it has nothing of the tenant any more."""
    context = Context(tenant_id=tenant, request_id="req_1", traceparent=TRACE)
    entry = create_message(context, TenantErased(), service, tenant)
    return ReceivedEvent(orjson.loads(entry.payload), entry.subject, entry.payload, None, None)


async def receive(client: ProjectsClient, *events: ReceivedEvent) -> None:
    """One batch from the stream."""
    async with client.pool.acquire() as conn:
        await process_once(conn, handle_events, events)


async def deleting_tenant(client: ProjectsClient) -> tuple[str, str]:
    """A tenant with a row in every table, being deleted; and the secret of its root key."""
    created = await client.create_tenant()
    tenant = str(created["tenant"]["id"])
    key = await client.create_api_key(tenant, await client.create_project(tenant))
    refusal = {"tenant_id": tenant, "key_id": key["id"], "code": "expired"}
    await client.call(calls.RECORD_REFUSAL, None, refusal)
    await client.call(
        calls.UPDATE_TENANT, tenant, {"name": "Repeated"}, tenant, idempotency_key="once"
    )
    deleted = await client.call_as_operator(calls.DELETE_TENANT, None, tenant)
    assert (deleted.status, deleted.body["status"]) == (202, "deleting")
    return tenant, created["api_key"]["secret"]


async def get_status(client: ProjectsClient, tenant: str) -> int:
    return (await client.call_as_operator(calls.GET_TENANT, None, tenant)).status


async def test_a_dry_run_counts_what_would_be_deleted_and_changes_nothing(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    for _ in range(2):
        await client.create_api_key(tenant, project)
    before = await client.event_types(tenant)
    preview = await client.call_as_operator(
        calls.DELETE_TENANT, None, tenant, query={"dry_run": "true"}
    )
    assert (preview.status, preview.body["would_delete"]) == (200, {"projects": 1, "api_keys": 2})
    assert await client.event_types(tenant) == before
    assert await get_status(client, tenant) == 200


async def test_a_repeated_deletion_asks_nobody_twice(client: ProjectsClient) -> None:
    tenant, _ = await deleting_tenant(client)
    repeated = await client.call_as_operator(calls.DELETE_TENANT, None, tenant)
    assert (repeated.status, repeated.body["status"]) == (202, "deleting")
    assert (await client.event_types(tenant)).count("tenant.deletion_requested") == 1


async def test_while_it_is_deleted_only_the_operator_sees_it(client: ProjectsClient) -> None:
    tenant, secret = await deleting_tenant(client)
    found = await client.call_as_operator(calls.GET_TENANT, None, tenant)
    assert found.body["status"] == "deleting"
    assert (await client.find_credential(secret)).body["tenant_status"] == "deleting"
    for call, path in ((calls.GET_TENANT, (tenant,)), (calls.WHO_AM_I, ())):
        own = await client.call(call, tenant, None, *path, credential="api_key")
        assert own.status == 404
    revived = await client.call_as_operator(calls.UPDATE_TENANT, {"status": "active"}, tenant)
    assert revived.status == 404


async def test_it_is_deleted_with_the_last_of_three_confirmations(client: ProjectsClient) -> None:
    tenant, secret = await deleting_tenant(client)
    for service in ("identity", "webhooks", "webhooks", "projects"):
        await receive(client, erased(tenant, service))
        assert await get_status(client, tenant) == 200
    await receive(client, erased(tenant, "audit"))
    assert await get_status(client, tenant) == 404
    assert (await client.find_credential(secret)).status == 404
    for table in TABLES:
        left = await client.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant
        )
        assert (table, left) == (table, 0)
    assert await client.event_subjects(tenant) == [("tenant.deleted", tenant)]


async def test_confirmations_at_the_same_time_are_not_lost(client: ProjectsClient) -> None:
    tenant, _ = await deleting_tenant(client)
    await asyncio.gather(*(receive(client, erased(tenant, each)) for each in SERVICES))
    assert await get_status(client, tenant) == 404
    assert await client.event_types(tenant) == ["tenant.deleted"]


async def test_confirmations_of_many_tenants_come_in_one_batch(client: ProjectsClient) -> None:
    tenants = [(await deleting_tenant(client))[0] for _ in range(3)]
    await receive(client, *(erased(tenant, each) for each in SERVICES for tenant in tenants))
    assert [await get_status(client, tenant) for tenant in tenants] == [404, 404, 404]


async def test_a_confirmation_nobody_asked_for_does_nothing(
    client: ProjectsClient, tenant: str
) -> None:
    await receive(client, *(erased(tenant, each) for each in SERVICES))
    assert await get_status(client, tenant) == 200
    await client.call_as_operator(calls.DELETE_TENANT, None, tenant)
    await receive(client, erased(tenant, "audit"))
    assert await get_status(client, tenant) == 200


async def test_a_late_request_of_a_deleted_tenant_is_refused(client: ProjectsClient) -> None:
    tenant, _ = await deleting_tenant(client)
    await receive(client, *(erased(tenant, each) for each in SERVICES))
    late = await client.call(CREATE_PROJECT, tenant, {"name": "Late"})
    assert late.status == 404
    assert await client.event_types(tenant) == ["tenant.deleted"]


async def test_a_tenant_with_very_much_goes_in_steps_and_itself_at_last(
    client: ProjectsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_erasure, "BATCH", 2)  # the cascade and the refusal
    tenant, secret = await deleting_tenant(client)
    context = Context(tenant_id=tenant, request_id="req_1", traceparent=TRACE)
    async with client.pool.acquire() as conn:
        await request_cascade(conn, context, PROJECT, new_id("prj"))
    await receive(client, *(erased(tenant, each) for each in SERVICES))
    assert await get_status(client, tenant) == 200
    assert (await client.find_credential(secret)).body["tenant_status"] == "deleting"
    await receive(client, erased(tenant, "audit"))  # once more
    await Cascades(client.pool, STEPS, lambda: None).run()
    assert await get_status(client, tenant) == 404
    for table in (*TABLES, "cascades"):
        left = await client.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant
        )
        assert (table, left) == (table, 0)
    assert await client.event_subjects(tenant) == [("tenant.deleted", tenant)]


async def test_statistics_that_do_not_know_a_tenant_do_not_delay_its_end(
    client: ProjectsClient, other_tenant: str, servers: Servers
) -> None:
    """Each key that is to go was compared with all 15,000: seconds for a step."""
    tenant, _ = await deleting_tenant(client)
    await client.pool.execute("DELETE FROM api_keys")  # of tests that have ended
    await insert_keys(client, other_tenant, new_id("prj"), [new_id("key")] * 15_000)
    owner = await asyncpg.connect(servers.migration_url("projects"))
    await owner.execute("ANALYZE api_keys")
    await owner.close()
    await insert_keys(client, tenant, new_id("prj"), [new_id("key")] * 15_000)
    async with asyncio.timeout(1):
        await receive(client, *(erased(tenant, each) for each in SERVICES))
    assert await get_status(client, tenant) == 200
    await Cascades(client.pool, STEPS, lambda: None).run()
    assert await get_status(client, tenant) == 404
