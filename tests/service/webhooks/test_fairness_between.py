"""Fair: a slow receiver delays no other, a flood no other tenant, and nothing is left behind."""

import asyncio

import pytest
from aiohttp import web
from contracts import webhooks as calls
from contracts.ids import new_id
from service.webhooks.world import World
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks import dispatch, due, fairness
from webhooks.connecting import open_session
from webhooks.dispatch import Dispatcher


async def test_a_slow_receiver_delays_no_other(
    world: World, tenant: str, endpoint: Receiver, another: Receiver, sending: Dispatcher
) -> None:
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await hold.wait()
        return web.Response(status=204)

    endpoint.answer = slow
    await world.subscribe(tenant, endpoint.url)
    quick = await world.subscribe(tenant, another.url)
    await world.happen(tenant, count=50)
    sending.wake()

    async def quick_is_done() -> bool:
        return len(await world.deliveries(tenant, quick["id"], status="succeeded")) == 50

    await until(quick_is_done)
    assert len(endpoint.received) == due.IN_FLIGHT
    hold.set()


async def test_one_tenants_flood_delays_no_other(
    world: World, tenant: str, endpoint: Receiver, another: Receiver, sending: Dispatcher
) -> None:
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await hold.wait()
        return web.Response(status=204)

    endpoint.answer = slow
    for _ in range(12):
        await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant, count=100)
    sending.wake()

    async def flooded() -> bool:
        return len(endpoint.received) >= dispatch.SLOTS_OF_TENANT

    await until(flooded)
    neighbour = new_id("ten")
    theirs = await world.subscribe(neighbour, another.url)
    await world.happen(neighbour)
    sending.wake()
    done = await world.attempted(neighbour, theirs["id"])
    assert done["status"] == "succeeded"
    assert len(endpoint.received) == dispatch.SLOTS_OF_TENANT
    hold.set()


async def test_a_storm_of_retries_leaves_slots_for_first_attempts(
    world: World,
    tenant: str,
    endpoint: Receiver,
    another: Receiver,
    sending: Dispatcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "SLOTS", 12)
    monkeypatch.setattr(dispatch, "SLOTS_OF_RETRIES", 9)
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await hold.wait()
        return web.Response(status=500)

    endpoint.answer = slow
    for _ in range(4):
        await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant, count=8)
    await world.owner.pool.execute(
        "UPDATE queue SET kind = $2, tries = 1 WHERE tenant_id = $1", tenant, fairness.AGAIN
    )
    sending.wake()

    async def stormy() -> bool:
        return len(endpoint.received) >= 9

    await until(stormy)
    neighbour = new_id("ten")
    theirs = await world.subscribe(neighbour, another.url)
    await world.happen(neighbour, count=5)
    sending.wake()

    async def first_attempts_go_through() -> bool:
        return len(await world.deliveries(neighbour, theirs["id"], status="succeeded")) == 5

    await until(first_attempts_go_through)
    assert len(endpoint.received) == 9
    hold.set()


async def test_deliveries_of_a_webhook_are_roughly_in_order(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await hold.wait()
        return web.Response(status=204)

    endpoint.answer = slow
    await world.subscribe(tenant, endpoint.url)
    happened = await world.happen(tenant, count=40)
    sending.wake()

    async def full() -> bool:
        return len(endpoint.received) == due.IN_FLIGHT

    await until(full)
    # Those under way at once may overtake each other; nobody else may.
    got = {each.headers["webhook-id"] for each in endpoint.received}
    assert got == set(happened[: due.IN_FLIGHT])
    hold.set()


async def test_every_webhook_of_a_tenant_with_many_has_its_turn(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    many = dispatch.LANES_AT_ONCE * 2 + 5
    for _ in range(many):
        await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant, count=10)
    sending.wake()

    async def all_arrived() -> bool:
        return len(endpoint.received) >= many * 10

    await until(all_arrived, 15)


async def test_many_receivers_at_rest_stand_in_nobodys_way(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    dead = dispatch.LANES_AT_ONCE + 4
    for _ in range(dead):
        await world.subscribe(tenant, "http://127.0.0.1:1/in", "user.created")
    await world.happen(tenant, count=30)
    sending.wake()

    async def all_at_rest() -> bool:
        tried = await world.owner.pool.fetch(
            "SELECT count(*) FILTER (WHERE tries > 0) AS n FROM queue WHERE tenant_id = $1"
            " GROUP BY webhook_id",
            tenant,
        )
        return len(tried) == dead and all(row["n"] >= 10 for row in tried)

    await until(all_at_rest)
    alive = await world.subscribe(tenant, endpoint.url, "member.added")
    await world.happen(tenant, "member.added")
    sending.wake()
    done = await world.attempted(tenant, alive["id"])
    assert done["status"] == "succeeded"


async def test_what_a_dead_dispatcher_had_is_sent_again(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    await world.owner.pool.execute(
        "UPDATE queue SET state = 'leased', lease = 'dead', wake_at = now() - interval '1 second'"
        " WHERE tenant_id = $1",
        tenant,
    )
    sending.wake()

    async def sent_again() -> bool:
        return (await world.delivery(tenant, made["id"]))["status"] == "succeeded"

    await until(sent_again)


async def test_a_failing_receiver_is_given_a_rest_and_loses_no_try(
    world: World, tenant: str, endpoint: Receiver, another: Receiver, sending: Dispatcher
) -> None:
    endpoint.status = 500
    made = await world.subscribe(tenant, endpoint.url, "user.created", "webhook.*")
    await world.happen(tenant, count=100)
    sending.wake()

    async def resting() -> bool:
        rows = await world.owner.pool.fetch("SELECT state FROM queue WHERE tenant_id = $1", tenant)
        return len(endpoint.received) >= 10 and all(row["state"] != "leased" for row in rows)

    await until(resting)
    sent = len(endpoint.received)
    assert sent < 40
    # However long others are served meanwhile.
    well = await world.subscribe(tenant, another.url, "member.added")
    for _ in range(5):
        await world.happen(tenant, "member.added", count=10)
        sending.wake()
        await until(lambda: all_done(world, tenant, well["id"]))
    assert len(another.received) == 50
    assert len(endpoint.received) == sent
    untried = await world.owner.pool.fetchval(
        "SELECT count(*) FROM queue WHERE tenant_id = $1 AND tries = 0", tenant
    )
    assert untried == 100 - sent
    endpoint.status = 204
    # What somebody asks for by hand does not wait, and its success ends the rest.
    tested = await world.ask(calls.SEND_TEST, tenant, {}, path={"id": made["id"]})
    assert tested.status == 202
    sending.wake()

    async def all_first_arrived() -> bool:
        found = await world.deliveries(tenant, made["id"], status="succeeded")
        return len(found) >= 100 - sent

    await until(all_first_arrived)


async def all_done(world: World, tenant: str, webhook: str) -> bool:
    return not await world.deliveries(tenant, webhook, status="pending")


async def test_a_dispatcher_that_stops_gives_back_what_it_has_not_sent(
    world: World, tenant: str, endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "STOP_SECONDS", 0.2)
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await hold.wait()
        return web.Response(status=204)

    endpoint.answer = slow
    await world.subscribe(tenant, endpoint.url)
    dispatcher = Dispatcher(
        world.owner.pool, world.owner.keys, open_session(allow_private=True), allow_private=True
    )
    task = asyncio.create_task(dispatcher.run())
    await world.happen(tenant)
    dispatcher.wake()

    async def arrived() -> bool:
        return len(endpoint.received) == 1

    await until(arrived)
    await dispatcher.stop()
    task.cancel()
    state = await world.owner.pool.fetchval("SELECT state FROM queue WHERE tenant_id = $1", tenant)
    assert state == "ready"
    hold.set()
