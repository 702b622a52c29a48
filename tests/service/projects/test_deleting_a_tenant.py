"""A tenant is gone when every service has erased its part, and not before."""

import asyncio

import orjson
from contracts import tenants as calls
from contracts.context import Context
from contracts.projects import CREATE_PROJECT
from outbox.inbox import ReceivedEvent, process_once
from outbox.record import create_lifecycle_entry
from projects import events
from service.projects.world import World
from support.owner import TRACE

ERASERS = ("identity", "webhooks", "audit")
TABLES = ("projects", "api_keys", "signing_keys", "refusals", "erasures", "idempotency")


def erased(tenant: str, service: str) -> ReceivedEvent:
    """A service's word that it has nothing of the tenant any more."""
    context = Context(tenant_id=tenant, request_id="req_1", traceparent=TRACE)
    said = create_lifecycle_entry(context, service, "tenant.erased", tenant, {})
    return ReceivedEvent(orjson.loads(said.payload), said.subject, said.payload, None, None)


async def hear(world: World, *said: ReceivedEvent) -> None:
    """What the stream brings in one batch."""
    async with world.owner.pool.acquire() as conn:
        await process_once(conn, events.take, said)


async def deleting(world: World) -> tuple[str, str]:
    """A tenant with something of everything, its deletion asked for; and its root secret."""
    made = await world.new_tenant()
    tenant = str(made["tenant"]["id"])
    project = await world.new_project(tenant)
    key = await world.new_key(tenant, project)
    refusal = {"tenant_id": tenant, "key_id": key["id"], "code": "expired"}
    await world.call(calls.RECORD_REFUSAL, None, refusal)
    await world.call(
        calls.UPDATE_TENANT, tenant, {"name": "Repeated"}, tenant, idempotency_key="once"
    )
    asked = await world.operator(calls.DELETE_TENANT, None, tenant)
    assert (asked.status, asked.body["status"]) == (202, "deleting")
    return tenant, made["api_key"]["secret"]


async def status(world: World, tenant: str) -> int:
    return (await world.operator(calls.GET_TENANT, None, tenant)).status


async def test_a_preview_says_what_would_go_and_changes_nothing(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    for _ in range(2):
        await world.new_key(tenant, project)
    before = await world.happened(tenant)
    preview = await world.operator(calls.DELETE_TENANT, None, tenant, query={"dry_run": "true"})
    assert preview.status == 200
    assert (
        preview.body["would_delete"] | {"projects": 1, "api_keys": 2}
        == (preview.body["would_delete"])
    )
    assert await world.happened(tenant) == before
    assert await status(world, tenant) == 200


async def test_asking_again_asks_nobody_twice(world: World) -> None:
    tenant, _ = await deleting(world)
    again = await world.operator(calls.DELETE_TENANT, None, tenant)
    assert (again.status, again.body["status"]) == (202, "deleting")
    assert (await world.happened(tenant)).count("tenant.deletion_requested") == 1


async def test_while_it_is_deleted_only_the_operator_sees_it(world: World) -> None:
    tenant, secret = await deleting(world)
    assert (await world.operator(calls.GET_TENANT, None, tenant)).body["status"] == "deleting"
    assert (await world.find(secret)).body["tenant_status"] == "deleting"
    for call, path in ((calls.GET_TENANT, (tenant,)), (calls.WHO_AM_I, ())):
        own = await world.call(call, tenant, None, *path, credential="api_key")
        assert own.status == 404
    revived = await world.operator(calls.UPDATE_TENANT, {"status": "active"}, tenant)
    assert revived.status == 404


async def test_it_is_gone_with_the_last_of_three_confirmations(world: World) -> None:
    tenant, secret = await deleting(world)
    for service in ("identity", "webhooks", "webhooks", "projects"):
        await hear(world, erased(tenant, service))
        assert await status(world, tenant) == 200
    await hear(world, erased(tenant, "audit"))
    assert await status(world, tenant) == 404
    assert (await world.find(secret)).status == 404
    for table in TABLES:
        left = await world.owner.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant
        )
        assert (table, left) == (table, 0)
    assert await world.events(tenant) == [("tenant.deleted", tenant)]


async def test_confirmations_at_the_same_time_are_not_lost(world: World) -> None:
    tenant, _ = await deleting(world)
    await asyncio.gather(*(hear(world, erased(tenant, each)) for each in ERASERS))
    assert await status(world, tenant) == 404
    assert await world.happened(tenant) == ["tenant.deleted"]


async def test_confirmations_of_many_tenants_come_in_one_batch(world: World) -> None:
    tenants = [(await deleting(world))[0] for _ in range(3)]
    await hear(world, *(erased(tenant, each) for each in ERASERS for tenant in tenants))
    assert [await status(world, tenant) for tenant in tenants] == [404, 404, 404]


async def test_a_confirmation_nobody_asked_for_does_nothing(world: World, tenant: str) -> None:
    await hear(world, *(erased(tenant, each) for each in ERASERS))
    assert await status(world, tenant) == 200
    await world.operator(calls.DELETE_TENANT, None, tenant)
    await hear(world, erased(tenant, "audit"))
    assert await status(world, tenant) == 200


async def test_a_late_request_of_an_erased_tenant_is_refused(world: World) -> None:
    tenant, _ = await deleting(world)
    await hear(world, *(erased(tenant, each) for each in ERASERS))
    late = await world.call(CREATE_PROJECT, tenant, {"name": "Late"})
    assert late.status == 404
    assert await world.happened(tenant) == ["tenant.deleted"]
