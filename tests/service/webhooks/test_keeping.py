"""What is kept, for how long, and how a tenant is forgotten."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import orjson
import pytest
from asyncpg import InsufficientPrivilegeError
from contracts import webhooks as calls
from contracts.context import Context
from contracts.ids import new_id
from outbox import dead_letters
from outbox.record import lifecycle
from service.webhooks.world import World, heard, heard_as
from support.owner import TRACE
from support.webhook_receiver import Receiver
from tenantry.servers import Servers
from webhooks import erasing, retention
from webhooks.dispatch import Dispatcher

URL = "https://hooks.example.com/in"
WEEK = timedelta(weeks=1)
TENANTS_TABLES = ("webhooks", "secrets", "events", "deliveries", "attempts", "queue", "idempotency")


async def test_an_erased_tenant_leaves_nothing_and_stays_erased(
    world: World, tenant: str, endpoint: Receiver, sending: Dispatcher
) -> None:
    body = {"url": endpoint.url, "events": ["*"]}
    made = await world.ask(calls.CREATE_WEBHOOK, tenant, body, idempotency_key="once")
    await world.happen(tenant, count=3)
    sending.wake()

    neighbour = new_id("ten")
    theirs = await world.subscribe(neighbour, URL)
    await world.happen(neighbour)
    wish = lifecycle(
        Context(tenant_id=tenant, request_id="req_erase", traceparent=TRACE),
        "projects",
        "tenant.deletion_requested",
        tenant,
        {},
    )
    # In one batch with an event that the tenant must not hear any more.
    told = [heard(each) for each in (tenant, neighbour)]
    async with world.owner.pool.acquire() as conn:
        for each in told:
            await dead_letters.keep(conn, each, ValueError(), 5)
    await world.take(heard_as(wish.subject, wish.payload), heard(tenant))
    await erasing.go_on(world.owner.pool, lambda: None)
    await world.happen(tenant)
    for table in TENANTS_TABLES:
        left = await world.owner.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant
        )
        assert left == 0, table
    rows = await world.owner.pool.fetch("DELETE FROM dead_letters RETURNING event_id")
    assert [row["event_id"] for row in rows] == [told[1].id]
    gone = await world.ask(calls.GET_WEBHOOK, tenant, path={"id": made.body["id"]})
    assert gone.status == 404
    assert len(await world.deliveries(neighbour, theirs["id"])) == 1
    rows = await world.owner.pool.fetch(
        "SELECT subject, payload FROM outbox WHERE tenant_id = $1 AND subject LIKE '%erased'",
        tenant,
    )
    (erased,) = rows
    assert erased["subject"] == "tenantry.lifecycle.webhooks.tenant.erased"
    assert orjson.loads(erased["payload"])["requestid"] == "req_erase"
    await world.take(heard_as(wish.subject, wish.payload))
    await erasing.go_on(world.owner.pool, lambda: None)
    count = "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND subject LIKE '%erased'"
    assert await world.owner.pool.fetchval(count, tenant) == 1


async def partitions(world: World, parent: str) -> list[str]:
    rows = await world.owner.pool.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent = $1::regclass ORDER BY relname",
        parent,
    )
    return [row["relname"] for row in rows]


async def test_partitions_are_made_ahead_and_old_ones_dropped(
    world: World, servers: Servers
) -> None:
    owner = await asyncpg.connect(servers.migration_url("webhooks"))
    try:
        before = await partitions(world, "deliveries")
        assert 7 <= len(before) <= 10
        await owner.execute(
            "CREATE TABLE partitions.deliveries_20200106 PARTITION OF deliveries"
            " FOR VALUES FROM ('2020-01-06+00') TO ('2020-01-13+00')"
        )
        await owner.execute(f"DROP TABLE partitions.{before[-1]}")
        await retention.keep(world.owner.pool)
        assert await partitions(world, "deliveries") == before
        assert len(await partitions(world, "events")) == len(before)
        assert len(await partitions(world, "attempts")) == len(before)
    finally:
        await owner.close()


async def test_thirty_days_are_kept_and_three_weeks_made_ahead(world: World) -> None:
    await retention.keep(world.owner.pool)
    today = datetime.now(UTC).date()
    for parent in ("events", "deliveries", "attempts"):
        starts = [
            datetime.strptime(name[-8:], "%Y%m%d").date()  # noqa: DTZ007 - a day
            for name in await partitions(world, parent)
        ]
        assert all(later - earlier == WEEK for earlier, later in pairwise(starts))
        assert starts[0] <= today - timedelta(days=30) < starts[0] + WEEK
        assert starts[-1] <= today + 3 * WEEK < starts[-1] + WEEK


async def test_what_is_pending_for_thirty_days_is_given_up(world: World, tenant: str) -> None:
    await world.subscribe(tenant, URL)
    await world.happen(tenant, count=2)
    await world.owner.pool.execute(
        "UPDATE queue SET created_at = now() - CASE WHEN delivery_id = (SELECT min(delivery_id)"
        " FROM queue WHERE tenant_id = $1) THEN interval '30 days 1 minute'"
        " ELSE interval '29 days 23 hours' END WHERE tenant_id = $1",
        tenant,
    )
    await retention.keep(world.owner.pool)
    left = await world.owner.pool.fetchval(
        "SELECT count(*) FROM queue WHERE tenant_id = $1", tenant
    )
    assert left == 1


async def test_the_service_itself_can_neither_make_nor_drop_a_table(world: World) -> None:
    (name, *_) = await partitions(world, "deliveries")
    for statement in (
        f"DROP TABLE partitions.{name}",
        "CREATE TABLE mine (id int)",
        "ALTER TABLE deliveries ADD COLUMN mine int",
    ):
        with pytest.raises(InsufficientPrivilegeError):
            await world.owner.pool.execute(statement)


async def test_an_event_older_than_what_is_kept_is_ignored(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    old = heard(tenant)
    event = old.event | {"time": "2020-01-01T00:00:00Z"}
    await world.take(heard_as(old.subject, orjson.dumps(event)))
    assert await world.deliveries(tenant, made["id"]) == []


async def test_a_message_between_services_reaches_no_webhook(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    said = lifecycle(
        Context(tenant_id=tenant, request_id="req", traceparent=TRACE),
        "projects",
        "tenant.refused_use",
        tenant,
        {},
    )
    await world.take(heard_as(said.subject, said.payload))
    assert await world.deliveries(tenant, made["id"]) == []
