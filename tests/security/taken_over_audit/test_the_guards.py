"""What guards a trail obeys its owner alone."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from security.taken_over_audit.thief import REFUSED, proof
from support.owner import Owner
from tenantry.operations.audit_retention import set_retention
from tenantry.servers import Servers

MACHINERY = [
    "TRUNCATE events",
    "TRUNCATE heads",
    "TRUNCATE marks",
    "TRUNCATE personal",
    "DROP TABLE events",
    "DROP TABLE months.events_2026_01",
    "ALTER TABLE events DETACH PARTITION months.events_2026_01",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE heads DISABLE TRIGGER guard_heads",
    "ALTER TABLE events ADD COLUMN more text",
    "ALTER TABLE events ALTER COLUMN digest DROP NOT NULL",
    "DROP TRIGGER move_heads ON events",
    "CREATE TRIGGER mine BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION guard_heads()",
    "CREATE RULE mine AS ON INSERT TO events DO INSTEAD NOTHING",
    "CREATE POLICY mine ON events USING (false)",
    "CREATE INDEX mine ON events (sequence)",
    "UPDATE months.events_2026_01 SET action = 'x'",
    "INSERT INTO months.events_2026_01 SELECT * FROM events LIMIT 1",
    "SELECT * FROM months.events_2026_01",
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION audit_owner",
    "SET ROLE audit_owner",
    "SET ROLE postgres",
    "GRANT audit_owner TO audit",
    "ALTER FUNCTION close_trail(text) OWNER TO audit",
    "ALTER FUNCTION move_heads() RESET search_path",
    "CREATE OR REPLACE FUNCTION move_heads() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP FUNCTION move_heads() CASCADE",
    "CREATE TABLE shadow (id text)",
    "CREATE TEMPORARY TABLE heads (tenant_id text)",
    "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION to_json(text) RETURNS json LANGUAGE sql AS 'SELECT NULL::json'",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION dblink",
    "CREATE DATABASE mine",
    "ALTER DATABASE audit SET search_path = mine",
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER ROLE audit_owner PASSWORD 'mine'",
    "ALTER ROLE audit SUPERUSER",
    "COPY events TO PROGRAM 'cat'",
    "COPY events TO '/tmp/events'",
    "SELECT pg_read_file('/etc/passwd')",
    "INSERT INTO retention VALUES (true, 1)",
    "UPDATE retention SET days = 1",
    "LOCK TABLE events IN ACCESS EXCLUSIVE MODE",
    "SELECT move_heads()",
    "SELECT guard_personal()",
]


@pytest.mark.parametrize("statement", MACHINERY)
async def test_what_guards_the_trail_cannot_be_changed(
    audit: Owner, thief: asyncpg.Connection, trail: str, statement: str
) -> None:
    if statement.startswith("LOCK"):
        statement = f"DO $$ BEGIN {statement}; END $$"
    with pytest.raises((*REFUSED, asyncpg.FeatureNotSupportedError)):
        await thief.execute(statement)
    assert (await proof(audit, trail))["valid"] is True


async def test_months_are_dropped_by_the_retention_of_the_database_alone(
    audit: Owner, thief: asyncpg.Connection, servers: Servers, trail: str
) -> None:
    days = 400
    oldest = datetime.now(UTC) - timedelta(days=days)
    await set_retention(servers.migration_url("audit"), None)
    moments = [oldest, datetime(1970, 1, 1, tzinfo=UTC), None, datetime.now(UTC)]
    for moment in moments:
        with pytest.raises(REFUSED):
            await thief.execute("SELECT drop_partitions($1)", moment)
    await set_retention(servers.migration_url("audit"), days)
    for text in ("now()", "'infinity'", "NULL", f"now() - interval '{days - 1} days'"):
        with pytest.raises(REFUSED):
            await thief.execute(f"SELECT drop_partitions({text})")
    await thief.execute("SELECT drop_partitions('-infinity')")
    await set_retention(servers.migration_url("audit"), None)
    assert (await proof(audit, trail))["valid"] is True


@pytest.mark.parametrize(
    "months",
    [
        "NULL",
        "ARRAY[NULL]::date[]",
        "ARRAY['infinity', '-infinity']::date[]",
        "ARRAY['0001-01-01 BC']::date[]",
        "ARRAY['2031-05-15']::date[]",  # half a month would keep events out of the other half
        "ARRAY['10000-01-01']::date[]",
        "(SELECT array_agg(date '2150-01-01') FROM generate_series(1, 1001))",
        "ARRAY[ARRAY['2031-05-15'], ARRAY['2031-06-01']]::date[]",
    ],
)
async def test_no_month_is_made_that_stands_in_the_way(
    audit: Owner, thief: asyncpg.Connection, trail: str, months: str
) -> None:
    existing = "SELECT tablename FROM pg_tables WHERE schemaname = 'months'"
    before = await thief.fetch(existing)
    with pytest.raises((*REFUSED, asyncpg.NullValueNotAllowedError)):
        await thief.execute(f"SELECT make_partitions({months})")
    assert before == await thief.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'months'"
    )


async def test_every_function_of_the_owner_names_its_schemas(
    servers: Servers, audit: Owner
) -> None:
    """One that looked up names by the caller's path would run the caller's functions as owner."""
    conn = await asyncpg.connect(servers.migration_url("audit"))
    rows = await conn.fetch(
        "SELECT proname, proconfig, has_function_privilege('public', oid, 'EXECUTE') AS is_public"
        "  FROM pg_proc WHERE proowner = 'audit_owner'::regrole"
    )
    await conn.close()
    assert len(rows) >= 7
    for row in rows:
        assert "search_path=pg_catalog, pg_temp" in row["proconfig"], row["proname"]
        assert not row["is_public"], row["proname"]
