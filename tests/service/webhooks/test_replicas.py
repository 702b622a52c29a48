"""Several dispatchers on one queue: limits hold for all together, and others take over from a dead
one.
"""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from chassis.streams import bootstrap
from service.webhooks.client import WebhooksClient
from service.webhooks.receivers import hold_responses, wait_for_requests
from service.webhooks.runners import run_dispatchers, run_webhooks
from support.waiting import until
from support.webhook_receiver import Receiver
from tenantry.servers import Servers
from webhooks.queue.leased import LEASE_SECONDS
from webhooks.queue.ready import LOCK_CLAIMING
from webhooks.rules.window import WEBHOOK_LIMIT, WIDEST
from webhooks.worker import dispatcher as dispatcher_module
from webhooks.worker.dispatcher import Dispatcher


async def expire_leases(client: WebhooksClient, tenant: str) -> None:
    await client.pool.execute(
        "UPDATE queue SET wake_at = now() WHERE tenant_id = $1 AND state = 'leased'", tenant
    )


async def test_the_limit_of_a_webhook_holds_for_all_replicas_together(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    webhooks, release = 10, asyncio.Event()
    in_flight: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def respond(request: web.Request) -> web.Response:
        in_flight[request.path] += 1
        most[request.path] = max(most[request.path], in_flight[request.path])
        await release.wait()
        in_flight[request.path] -= 1
        return web.Response(status=204)

    receiver.answer = respond
    for number in range(webhooks):
        await client.create_webhook(tenant, f"{receiver.url}/{number}")
    await client.publish(tenant, count=40)
    async with run_dispatchers(client.owner, 3) as dispatchers:
        for each in dispatchers:
            each.wake()

        async def all_at_their_limit() -> bool:
            return sum(in_flight.values()) >= webhooks * WEBHOOK_LIMIT

        await until(all_at_their_limit)
        release.set()
        await wait_for_requests(receiver, webhooks * 40, 40)
        assert len(receiver.received) == webhooks * 40
    assert min(most.values()) >= WEBHOOK_LIMIT
    assert max(most.values()) <= WIDEST


async def test_a_replica_that_hangs_with_the_lock_delays_nobody_for_long(
    client: WebhooksClient,
    servers: Servers,
    tenant: str,
    receiver: Receiver,
    dispatcher: Dispatcher,
) -> None:
    hanging = await asyncpg.connect(servers.database_url("webhooks"))
    transaction = hanging.transaction()
    await transaction.start()
    await LOCK_CLAIMING.fetch_one(hanging)
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    delivery = await client.wait_for_attempts(tenant, webhook["id"])
    assert delivery["status"] == "succeeded"
    with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError)):
        await hanging.execute("SELECT 1")
    hanging.terminate()


async def test_a_dispatcher_whose_lease_has_expired_writes_no_result(
    client: WebhooksClient, tenant: str, receiver: Receiver
) -> None:
    """An attempt that took too long does not overwrite the one that followed it."""
    release = hold_responses(receiver, 500, only_first=True)
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    async with run_dispatchers(client.owner, 1) as (late,):
        late.wake()
        await wait_for_requests(receiver, 1)
        await expire_leases(client, tenant)
        async with run_dispatchers(client.owner, 1) as (successor,):
            successor.wake()
            failed = await client.wait_for_attempts(tenant, webhook["id"])
        release.set()
    assert await client.only_delivery(tenant, webhook["id"]) == failed
    tries = await client.pool.fetchval("SELECT tries FROM queue WHERE tenant_id = $1", tenant)
    assert tries == 1


async def test_an_expired_lease_of_a_dead_dispatcher_is_claimed_again(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    await client.pool.execute(
        "UPDATE queue SET state = 'leased', lease = 'dead', wake_at = now() - interval '1 second'"
        " WHERE tenant_id = $1",
        tenant,
    )
    dispatcher.wake()

    async def is_delivered() -> bool:
        return (await client.only_delivery(tenant, webhook["id"]))["status"] == "succeeded"

    await until(is_delivered)


async def test_deliveries_of_a_killed_process_are_sent_by_another(
    client: WebhooksClient, servers: Servers, tenant: str, receiver: Receiver, tmp_path: Path
) -> None:
    release = hold_responses(receiver, only_first=True)
    webhook = await client.create_webhook(tenant, receiver.url, "user.created")
    await bootstrap(servers.nats_url("admin"))
    async with run_webhooks(servers, tmp_path / "log") as killed:
        await client.publish(tenant)
        await wait_for_requests(receiver, 1)
        killed.process.kill()
        await killed.process.wait()
    release.set()
    row = await client.pool.fetchrow(
        "SELECT state, tries, wake_at - now() AS expires_in FROM queue WHERE tenant_id = $1", tenant
    )
    assert row is not None
    assert (row["state"], row["tries"]) == ("leased", 0)
    assert row["expires_in"] <= timedelta(seconds=LEASE_SECONDS)
    await expire_leases(client, tenant)
    async with run_dispatchers(client.owner, 1) as (successor,):
        successor.wake()
        delivery = await client.wait_for_attempts(tenant, webhook["id"])
    assert delivery["status"] == "succeeded"
    ids = {each.headers["webhook-id"] for each in receiver.received}
    assert (len(receiver.received), len(ids)) == (2, 1)


async def test_a_dispatcher_that_stops_releases_what_it_has_not_sent(
    client: WebhooksClient, tenant: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "STOP_SECONDS", 0.2)
    release = hold_responses(receiver)
    await client.create_webhook(tenant, receiver.url)
    async with run_dispatchers(client.owner, 1) as (stopping,):
        await client.publish(tenant)
        stopping.wake()
        await wait_for_requests(receiver, 1)
    state = await client.pool.fetchval("SELECT state FROM queue WHERE tenant_id = $1", tenant)
    assert state == "ready"
    release.set()
