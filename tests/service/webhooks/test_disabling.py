"""Disabling: a receiver that is gone or has failed for five days, and enabling it again."""

import asyncio
from datetime import UTC, datetime, timedelta

from aiohttp import web
from service.webhooks.world import World
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.dispatch import Dispatcher


async def is_disabled(world: World, tenant: str, webhook: str) -> bool:
    return (await world.webhook(tenant, webhook))["status"] == "disabled"


async def is_failing(world: World, tenant: str) -> bool:
    return bool(
        await world.owner.pool.fetchval(
            "SELECT failing_since FROM webhooks WHERE tenant_id = $1", tenant
        )
    )


async def failing_for_five_days(world: World, tenant: str) -> None:
    """As if the first failure after the last success lay so far back."""
    await until(lambda: is_failing(world, tenant))
    await world.owner.pool.execute(
        "UPDATE webhooks SET failing_since = $2 WHERE tenant_id = $1",
        tenant,
        datetime.now(UTC) - timedelta(days=5, seconds=1),
    )


async def test_410_disables_with_one_event(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    endpoint.status = 410
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant, count=5)
    sending.wake()
    await until(lambda: is_disabled(world, tenant, made["id"]))
    webhook = await world.webhook(tenant, made["id"])
    assert webhook["disabled_reason"] == "gone"
    (told,) = [e for e in await world.owner.events(tenant) if e["type"] == "webhook.disabled"]
    assert (told["actortype"], told["data"]["webhook"]) == ("system", webhook)
    endpoint.status = 204
    await world.change(tenant, made["id"], status="active")
    await world.make_due(tenant)
    sending.wake()

    async def all_arrived() -> bool:
        found = await world.deliveries(tenant, made["id"], status="succeeded")
        return len(found) == 5

    await until(all_arrived)


async def test_five_days_of_failures_disable_and_enabling_begins_anew(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    endpoint.status = 500
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"])
    assert not await is_disabled(world, tenant, made["id"])
    await failing_for_five_days(world, tenant)
    await world.make_due(tenant)
    sending.wake()
    await until(lambda: is_disabled(world, tenant, made["id"]))
    assert (await world.webhook(tenant, made["id"]))["disabled_reason"] == "failing"
    await world.change(tenant, made["id"], status="active")
    await world.make_due(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"], 3)
    assert not await is_disabled(world, tenant, made["id"])


async def test_one_success_and_the_five_days_begin_anew(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    endpoint.status = 500
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"])
    await failing_for_five_days(world, tenant)
    endpoint.status = 204
    await world.make_due(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"], 2)

    async def is_well() -> bool:
        return not await is_failing(world, tenant)

    await until(is_well)
    endpoint.status = 500
    await world.happen(tenant)
    sending.wake()
    await until(lambda: is_failing(world, tenant))
    assert not await is_disabled(world, tenant, made["id"])


async def test_an_attempt_from_before_does_not_disable_what_was_enabled_again(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    endpoint.status = 500
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"])
    await failing_for_five_days(world, tenant)
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await hold.wait()
        return web.Response(status=500)

    endpoint.answer = slow
    await world.make_due(tenant)
    sending.wake()

    async def under_way() -> bool:
        return len(endpoint.received) == 2

    await until(under_way)
    await world.change(tenant, made["id"], status="disabled")
    await world.change(tenant, made["id"], status="active")
    hold.set()
    await world.attempted(tenant, made["id"], 2)
    # Its successor is judged too: whatever follows from the first is known by then.
    await world.make_due(tenant)
    sending.wake()
    await world.attempted(tenant, made["id"], 3)
    assert not await is_disabled(world, tenant, made["id"])
