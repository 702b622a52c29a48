"""How long events and deliveries are kept."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import pytest
from asyncpg import InsufficientPrivilegeError
from service.webhooks.client import WebhooksClient
from tenantry.servers import Servers
from webhooks.retention import apply_retention

URL = "https://hooks.example.com/in"
WEEK = timedelta(weeks=1)


async def partitions(client: WebhooksClient, parent: str) -> list[str]:
    rows = await client.pool.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent = $1::regclass ORDER BY relname",
        parent,
    )
    return [row["relname"] for row in rows]


async def test_partitions_are_created_ahead_and_old_ones_dropped(
    client: WebhooksClient, servers: Servers
) -> None:
    owner = await asyncpg.connect(servers.migration_url("webhooks"))
    try:
        before = await partitions(client, "deliveries")
        assert 7 <= len(before) <= 10
        await owner.execute(
            "CREATE TABLE partitions.deliveries_20200106 PARTITION OF deliveries"
            " FOR VALUES FROM ('2020-01-06+00') TO ('2020-01-13+00')"
        )
        await owner.execute(f"DROP TABLE partitions.{before[-1]}")
        await apply_retention(client.pool)
        assert await partitions(client, "deliveries") == before
        assert len(await partitions(client, "events")) == len(before)
        assert len(await partitions(client, "attempts")) == len(before)
    finally:
        await owner.close()


async def test_there_are_partitions_for_thirty_days_back_and_three_weeks_ahead(
    client: WebhooksClient,
) -> None:
    await apply_retention(client.pool)
    today = datetime.now(UTC).date()
    for parent in ("events", "deliveries", "attempts"):
        starts = [
            datetime.strptime(name[-8:], "%Y%m%d").date()  # noqa: DTZ007 - a day
            for name in await partitions(client, parent)
        ]
        assert all(later - earlier == WEEK for earlier, later in pairwise(starts))
        assert starts[0] <= today - timedelta(days=30) < starts[0] + WEEK
        assert starts[-1] <= today + 3 * WEEK < starts[-1] + WEEK


async def test_deliveries_that_are_pending_for_thirty_days_are_deleted(
    client: WebhooksClient, tenant: str
) -> None:
    await client.create_webhook(tenant, URL)
    await client.publish(tenant, count=2)
    await client.pool.execute(
        "UPDATE queue SET created_at = now() - CASE WHEN delivery_id = (SELECT min(delivery_id)"
        " FROM queue WHERE tenant_id = $1) THEN interval '30 days 1 minute'"
        " ELSE interval '29 days 23 hours' END WHERE tenant_id = $1",
        tenant,
    )
    await apply_retention(client.pool)
    left = await client.pool.fetchval("SELECT count(*) FROM queue WHERE tenant_id = $1", tenant)
    assert left == 1


async def test_the_service_itself_can_neither_create_nor_drop_a_table(
    client: WebhooksClient,
) -> None:
    (name, *_) = await partitions(client, "deliveries")
    for statement in (
        f"DROP TABLE partitions.{name}",
        "CREATE TABLE mine (id int)",
        "ALTER TABLE deliveries ADD COLUMN mine int",
    ):
        with pytest.raises(InsufficientPrivilegeError):
            await client.pool.execute(statement)
