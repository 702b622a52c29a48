"""What looks for one row of a tenant finds it by its key, whatever the statistics know.

If they know small tenants alone, the planner expects one row of a tenant, and any index that begins
with the tenant is as good as the right one: until the first large tenant comes.
"""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module

import asyncpg
import pytest
from architecture.test_statements import statements_of
from chassis import migrations
from chassis.database import PLANNING
from sqlalchemy import Table
from tenantry.servers import Servers

TENANTS = 4_000
VALUES = {"TEXT": "'x' || t", "ARRAY": "'{}'", "JSON": "'{}'", "JSONB": "'{}'", "DATETIME": "now()",
          "BOOLEAN": "false", "LARGE_BINARY": "int4send(t)"}  # fmt: skip
ERASED_IN_STEPS = {"counters", "forgotten"}
"""Of audit; its other rows are found by the tenant's numbers, and guarded by triggers."""
FEW = {
    # A tenant has at most a hundred webhooks, and all of them are looked at.
    "webhooks.fanout.FAN_OUT",
    # Whatever is left of a tenant.
    "projects.tenant_erasure.PARTS:0",
}
_TENANT_ALONE = re.compile(r"Index Cond: \(\(?(\w+\.)?tenant_id = [^=]*\)$")
_BY_IDENTIFIER = re.compile(r"Filter: .*\b(id|\w+_id|slug) = ")


@pytest.mark.parametrize("service", ["identity", "projects", "webhooks", "audit"])
async def test_one_row_of_a_large_tenant_is_found_by_its_key(
    service: str, servers: Servers
) -> None:
    await asyncio.to_thread(migrations.upgrade, service, servers.migration_url(service))
    owner = await asyncpg.connect(servers.migration_url(service), server_settings=PLANNING)
    transaction = owner.transaction()
    await transaction.start()
    try:
        tables = import_module(f"{service}.tables").METADATA.sorted_tables
        # What other tests left is there again afterwards.
        await owner.execute(f"TRUNCATE {', '.join(each.name for each in tables)}")
        for table in tables:
            if service != "audit" or table.name in ERASED_IN_STEPS:
                await owner.execute(_fill(table))
                await owner.execute(f"ANALYZE {table.name}")
        await owner.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        found = {
            name: list(_among_all(await _plan(owner, statement.sql)))
            for name, statement in statements_of(service).items()
            if name not in FEW
        }
        assert not {name: lines for name, lines in found.items() if lines}
    finally:
        await transaction.rollback()
        await owner.close()


def _fill(table: Table) -> str:
    """A row of each tenant."""
    columns = [each for each in table.c if each.computed is None and each.identity is None]
    values = [VALUES.get(type(each.type).__visit_name__.upper(), "t % 9") for each in columns]
    return (
        f"INSERT INTO {table.name} ({', '.join(each.name for each in columns)})"
        f" SELECT {', '.join(values)} FROM generate_series(1, {TENANTS}) t ON CONFLICT DO NOTHING"
    )


async def _plan(conn: asyncpg.Connection, sql: str) -> list[str]:
    """The one that serves whatever values come."""
    await conn.execute(f"PREPARE planned AS {sql}")
    count = await conn.fetchval(
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'planned'"
    )
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    lines = await conn.fetch(f"EXPLAIN (COSTS OFF) EXECUTE planned{values}")
    await conn.execute("DEALLOCATE planned")
    return [line[0] for line in lines]


def _among_all(plan: list[str]) -> Iterator[str]:
    """Where all rows of a tenant are compared with what is looked for."""
    for scan, line, following in zip(plan, plan[1:], [*plan[2:], ""], strict=False):
        # Weeks without rows have no statistics.
        is_empty = re.search(r"_\d{8}_pkey", scan) and not re.search(_this_week(), scan)
        if not is_empty and _TENANT_ALONE.search(line) and _BY_IDENTIFIER.search(following):
            yield f"{scan} {following}"
        if "Join Filter: " in line and "ANY_subquery" in line:
            yield line


def _this_week() -> str:
    today = datetime.now(UTC).date()
    return f"{today - timedelta(days=today.weekday()):%Y%m%d}_pkey"
