"""Each service's tables can be distributed by tenant, under the rules of Citus.

There every primary key, unique index and foreign key of a distributed table contains the column
that it is distributed by; `test_statements.py` holds the same of statements. What does not obey is
named here, with what it would take. The rules are read from the migrated databases; Citus itself
is not run. https://docs.citusdata.com/en/stable/develop/reference_ddl.html
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

import asyncpg
import pytest
from chassis import migrations
from contracts.topology import SERVICE_NAMES
from tenantry.servers import Servers

TENANT = "tenant_id"
DISTRIBUTED_BY_ID = {"projects.tenants"}
"""A tenant is its own: distributed by `id`, beside what has that `tenant_id`."""

ONE_NODE = {
    "alembic_version": "which migrations have run",
    "inbox": "which events were processed, by the one consumer; kept for days",
    "outbox": "what the one relay publishes, in its order; kept for a day",
    "dead_letters": "events given up; few",
    "projects.token_keys": "signs access tokens of all tenants; three rows",
    "audit.retention": "one row: how long events are kept",
}
"""Tables that are not distributed: of one service's stream, or a few rows for the installation."""

ACROSS_TENANTS = {
    "identity.invitations_token_key": "who accepts has the token alone",
    "identity.sessions_family_key": "who refreshes has the token alone",
    "projects.api_keys_id_key": "who verifies has the key alone",
    "projects.api_keys_secret_key": "who verifies has the key alone",
    "projects.api_keys_previous_secret_key": "who verifies has the key alone",
    "projects.tenants_slug_key": "the operator names tenants by slug",
}
"""Unique among all tenants, and how a row is found. Distributed, each becomes a table of its own by
the hash or slug that names the tenant (hash → tenant), written in the same transaction.
"""

TRIGGERS = {
    "identity.organizations": "counts organizations, and deletes what belongs to one",
    "identity.invitations": "counts invitations by status",
    "identity.users": "counts users by status, and deletes what belongs to one",
    "audit.events": "moves the head of the tenant's chain",
    "audit.heads": "a head only moves forward",
    "audit.personal": "what is erased stays erased",
    "webhooks.deliveries": "counts deliveries by webhook, day, type and status",
}
"""Triggers touch rows of their own tenant alone, which lie on the same node. Citus lets them run on
distributed tables by `citus.enable_unsafe_triggers`.
"""

TABLES = """
SELECT relname FROM pg_class
 WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
"""
UNIQUE_INDEXES = """
SELECT t.relname AS of, i.relname AS name,
       array(SELECT attname::text FROM pg_attribute
              WHERE attrelid = t.oid AND attnum = ANY(x.indkey)) AS columns
  FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
 WHERE (x.indisunique OR x.indisexclusion) AND NOT t.relispartition
   AND t.relnamespace = 'public'::regnamespace
"""
FOREIGN_KEYS = """
SELECT c.conrelid::regclass::text AS of, c.conname AS name, c.confrelid::regclass::text AS to,
       array(SELECT ROW(a.attname::text, b.attname::text)::text
               FROM unnest(c.conkey, c.confkey) AS k(mine, theirs)
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.mine
               JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.theirs) AS columns
  FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0
"""
WITH_TRIGGERS = """
SELECT DISTINCT t.relname FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid
 WHERE NOT g.tgisinternal AND NOT t.relispartition
"""


@pytest.fixture(params=SERVICE_NAMES)
async def service(request: pytest.FixtureRequest, servers: Servers) -> str:
    name = str(request.param)
    await asyncio.to_thread(migrations.upgrade, name, servers.migration_url(name))
    return name


@pytest.fixture
async def conn(service: str, servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(servers.database_url(service))
    yield connected
    await connected.close()


def known(service: str, names: Iterable[str]) -> set[str]:
    return {name.removeprefix(f"{service}.") for name in names if name.startswith(f"{service}.")}


def key_of(service: str, table: str) -> str:
    """The column that a table is distributed by."""
    return "id" if f"{service}.{table}" in DISTRIBUTED_BY_ID else TENANT


def is_distributed(service: str, table: str) -> bool:
    return not {table, f"{service}.{table}"} & set(ONE_NODE)


async def test_what_stays_on_one_node_is_there(service: str, conn: asyncpg.Connection) -> None:
    tables = {row["relname"] for row in await conn.fetch(TABLES)}
    assert {each for each in known(service, ONE_NODE) if "." not in each} <= tables
    assert {"inbox", "outbox", "dead_letters"} <= tables
    assert [each for each in tables if is_distributed(service, each)]


async def test_every_unique_key_contains_the_tenant(service: str, conn: asyncpg.Connection) -> None:
    without = {
        row["name"]
        for row in await conn.fetch(UNIQUE_INDEXES)
        if is_distributed(service, row["of"]) and key_of(service, row["of"]) not in row["columns"]
    }
    assert without == known(service, ACROSS_TENANTS), "begin it with the tenant, or argue it above"


async def test_every_foreign_key_stays_within_its_tenant(
    service: str, conn: asyncpg.Connection
) -> None:
    for row in await conn.fetch(FOREIGN_KEYS):
        ours, theirs = (key_of(service, row[side]) for side in ("of", "to"))
        assert is_distributed(service, row["of"]), row["name"]
        assert is_distributed(service, row["to"]), row["name"]
        assert f"({ours},{theirs})" in row["columns"], row["name"]


async def test_triggers_are_known(service: str, conn: asyncpg.Connection) -> None:
    found = {row["relname"] for row in await conn.fetch(WITH_TRIGGERS)}
    assert found == known(service, TRIGGERS), "say above that it touches its own tenant alone"
