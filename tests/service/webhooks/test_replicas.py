"""Several dispatchers on one queue: limits hold for all together, and what one had survives it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from chassis.streams import bootstrap
from service.webhooks.running import running
from service.webhooks.world import World
from support.waiting import until
from support.webhook_receiver import Receiver
from tenantry.servers import Servers
from webhooks import claims, due
from webhooks.connecting import open_session
from webhooks.dispatch import Dispatcher


@asynccontextmanager
async def dispatching(world: World, replicas: int) -> AsyncIterator[list[Dispatcher]]:
    """As many dispatchers as replicas would run, each looking by itself."""
    dispatchers = [
        Dispatcher(
            world.owner.pool, world.owner.keys, open_session(allow_private=True), allow_private=True
        )
        for _ in range(replicas)
    ]
    tasks = [asyncio.create_task(each.run()) for each in dispatchers]
    try:
        yield dispatchers
    finally:
        await asyncio.gather(*(each.stop() for each in dispatchers))
        for task in tasks:
            task.cancel()


async def test_a_webhooks_limit_holds_for_all_replicas_together(
    world: World, tenant: str, endpoint: Receiver
) -> None:
    webhooks, hold = 10, asyncio.Event()
    under_way: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def slow(request: web.Request) -> web.Response:
        under_way[request.path] += 1
        most[request.path] = max(most[request.path], under_way[request.path])
        await hold.wait()
        under_way[request.path] -= 1
        return web.Response(status=204)

    endpoint.answer = slow
    for number in range(webhooks):
        await world.subscribe(tenant, f"{endpoint.url}/{number}")
    await world.happen(tenant, count=40)
    async with dispatching(world, 3) as dispatchers:
        for each in dispatchers:
            each.wake()

        async def all_at_their_limit() -> bool:
            return sum(under_way.values()) >= webhooks * due.IN_FLIGHT

        await until(all_at_their_limit)
        hold.set()

        async def all_arrived() -> bool:
            return len(endpoint.received) == webhooks * 40

        await until(all_arrived, 40)
    assert set(most.values()) == {due.IN_FLIGHT}


async def test_who_hangs_with_the_turn_in_hand_holds_up_nobody_for_long(
    world: World, servers: Servers, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    stopped = await asyncpg.connect(servers.database_url("webhooks"))
    turn = stopped.transaction()
    await turn.start()
    await due.TAKE_TURN.row(stopped)
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    sending.wake()
    done = await world.attempted(tenant, made["id"])
    assert done["status"] == "succeeded"
    with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError)):
        await stopped.execute("SELECT 1")
    stopped.terminate()


async def test_who_lost_its_lease_has_no_say_any_more(
    world: World, tenant: str, endpoint: Receiver
) -> None:
    """The attempt that took too long is not written over the one that followed it."""
    hold = asyncio.Event()

    async def slow_at_first(_: web.Request) -> web.Response:
        if len(endpoint.received) == 1:
            await hold.wait()
        return web.Response(status=500)

    endpoint.answer = slow_at_first
    made = await world.subscribe(tenant, endpoint.url)
    await world.happen(tenant)
    async with dispatching(world, 1) as (late,):
        late.wake()

        async def sent() -> bool:
            return bool(endpoint.received)

        await until(sent)
        await end_leases(world, tenant)
        async with dispatching(world, 1) as (next_one,):
            next_one.wake()
            failed = await world.attempted(tenant, made["id"])
        hold.set()
    assert await world.delivery(tenant, made["id"]) == failed
    tries = await world.owner.pool.fetchval("SELECT tries FROM queue WHERE tenant_id = $1", tenant)
    assert tries == 1


async def end_leases(world: World, tenant: str) -> None:
    """As if their time were over."""
    await world.owner.pool.execute(
        "UPDATE queue SET wake_at = now() WHERE tenant_id = $1 AND state = 'leased'", tenant
    )


async def test_what_a_killed_process_was_sending_is_sent_by_another(
    world: World, servers: Servers, tenant: str, endpoint: Receiver, tmp_path: Path
) -> None:
    hold = asyncio.Event()

    async def slow_at_first(_: web.Request) -> web.Response:
        if len(endpoint.received) == 1:
            await hold.wait()
        return web.Response(status=204)

    endpoint.answer = slow_at_first
    made = await world.subscribe(tenant, endpoint.url, "user.created")
    await bootstrap(servers.nats_url("admin"))
    async with running(servers, tmp_path / "log") as service:
        await world.happen(tenant)

        async def sent() -> bool:
            return bool(endpoint.received)

        await until(sent)
        service.process.kill()
        await service.process.wait()
    hold.set()
    row = await world.owner.pool.fetchrow("SELECT * FROM queue WHERE tenant_id = $1", tenant)
    assert row is not None
    assert (row["state"], row["tries"]) == ("leased", 0)
    ends = await world.owner.pool.fetchval(
        "SELECT wake_at - now() FROM queue WHERE tenant_id = $1", tenant
    )
    assert ends <= timedelta(seconds=claims.LEASE_SECONDS)
    await end_leases(world, tenant)
    async with dispatching(world, 1) as (successor,):
        successor.wake()
        done = await world.attempted(tenant, made["id"])
    assert done["status"] == "succeeded"
    ids = {each.headers["webhook-id"] for each in endpoint.received}
    assert (len(endpoint.received), len(ids)) == (2, 1)
