"""A service that was taken over has its database password: what it tries fails, or shows.

The adversary is a plain connection of the runtime role, without a line of our code.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from audit.rpc import handlers
from audit.settings import AuditSettings
from audit.subscribers import handle_events
from chassis.database import open_pool
from contracts import audit as calls
from contracts.ids import new_id
from contracts.topology import SERVICE_NAMES
from outbox.inbox import process_once
from support.owner import Owner, heard, owner_of
from tenantry.operations.audit_retention import set_retention
from tenantry.operations.audit_verification import verify_tenant
from tenantry.servers import Servers

REFUSED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.CheckViolationError,
    asyncpg.RaiseError,
    asyncpg.InvalidParameterValueError,
    asyncpg.InvalidAuthorizationSpecificationError,
)


@pytest.fixture(scope="session")
async def audit(servers: Servers) -> AsyncIterator[Owner]:
    pool = await open_pool(servers.database_url("audit"), 1)
    async with owner_of(
        "audit", handlers(exports=pool, proofs=pool), servers, AuditSettings
    ) as owner:
        yield owner
    await pool.close()


@pytest.fixture
async def thief(audit: Owner, servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """Whoever has the password of the runtime role of audit."""
    conn = await asyncpg.connect(servers.database_url("audit"))
    try:
        yield conn
    finally:
        await conn.close()


@pytest.fixture
async def trail(audit: Owner) -> str:
    """A tenant with ten events, each with a personal part."""
    tenant = new_id("ten")
    changes = {"changes": {"email": {"from": "a@x.test", "to": "b@x.test"}}}
    events = [heard(tenant, "user.updated", new_id("usr"), changes) for _ in range(10)]
    async with audit.pool.acquire() as conn:
        await process_once(conn, handle_events, events)
    return tenant


async def proof(audit: Owner, tenant: str) -> dict[str, Any]:
    return dict((await audit.call(calls.GET_PROOF, tenant)).body)


async def snapshot(audit: Owner, tenant: str) -> list[Any]:
    """Everything that the proof is about."""
    return [
        await audit.pool.fetch(
            f"SELECT t::text FROM {table} t WHERE tenant_id = $1 ORDER BY 1", tenant
        )
        for table in ("events", "personal", "heads", "marks", "checkpoints")
    ]


CHANGES = [
    "UPDATE events SET action = 'user.created' WHERE tenant_id = $1",
    "UPDATE events SET filed_at = filed_at WHERE tenant_id = $1",
    "DELETE FROM events WHERE tenant_id = $1",
    """MERGE INTO events e USING (SELECT $1::text AS t) s ON e.tenant_id = s.t
       WHEN MATCHED THEN DELETE""",
    """INSERT INTO events SELECT * FROM events WHERE tenant_id = $1
       ON CONFLICT (tenant_id, sequence, filed_at) DO UPDATE SET action = 'x'""",
    "UPDATE personal SET ip_address = '::1' WHERE tenant_id = $1",
    "DELETE FROM personal WHERE tenant_id = $1",
    "UPDATE heads SET sequence = 0, digest = NULL WHERE tenant_id = $1",
    "UPDATE heads SET sequence = 9 WHERE tenant_id = $1",
    "UPDATE heads SET digest = sha256(digest) WHERE tenant_id = $1",
    "UPDATE heads SET filed_at = '1970-01-01' WHERE tenant_id = $1",
    "UPDATE heads SET tenant_id = 'ten_other' WHERE tenant_id = $1",
    "DELETE FROM heads WHERE tenant_id = $1",
    "INSERT INTO marks (tenant_id, sequence, kind) VALUES ($1, 1, 'dropped')",
    "UPDATE marks SET sequence = 1 WHERE tenant_id = $1",
    "DELETE FROM marks WHERE tenant_id = $1",
    "INSERT INTO checkpoints (tenant_id, sequence, digest) VALUES ($1, 1, '')",
    "UPDATE checkpoints SET sequence = 1 WHERE tenant_id = $1",
    "DELETE FROM checkpoints WHERE tenant_id = $1",
    "SELECT erase_events($1, 1)",
    "SELECT erase_events($1, NULL)",
]


@pytest.mark.parametrize("statement", CHANGES)
async def test_the_past_of_a_trail_cannot_be_changed(
    audit: Owner, thief: asyncpg.Connection, trail: str, statement: str
) -> None:
    before = await snapshot(audit, trail)
    with pytest.raises(REFUSED):
        await thief.execute(statement, trail)
    assert await snapshot(audit, trail) == before
    assert (await proof(audit, trail))["valid"] is True


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


Forge = Callable[[dict[str, Any]], None]


def set_to(**columns: Any) -> Forge:
    return lambda row: row.update(columns)


FORGED: dict[str, Forge] = {
    "again": lambda row: None,
    "before the others": set_to(sequence=0),
    "in the middle, under another month": set_to(
        sequence=5, filed_at=datetime(2026, 2, 1, tzinfo=UTC)
    ),
    "with a gap": set_to(sequence=12),
    "with another digest": set_to(sequence=11, digest=b"x" * 32),
    "filed in a month that retention drops": set_to(
        sequence=11, filed_at=datetime(1999, 1, 1, tzinfo=UTC)
    ),
    "filed in the future": set_to(sequence=11, filed_at=datetime(2099, 1, 1, tzinfo=UTC)),
    "to a trail without a head": set_to(sequence=1, tenant_id="ten_nobody"),
}


async def insert(conn: asyncpg.Connection, *rows: dict[str, Any]) -> None:
    names = list(rows[0])
    values = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    await conn.executemany(
        f"INSERT INTO events ({', '.join(names)}) VALUES ({values})",
        [tuple(row.values()) for row in rows],
    )


@pytest.fixture
async def months(audit: Owner, servers: Servers) -> AsyncIterator[None]:
    """Of events that are filed where no honest one is."""
    first_days = [date(1999, 1, 1), date(2026, 2, 1), date(2099, 1, 1)]
    await audit.pool.execute("SELECT make_partitions($1)", first_days)
    yield
    owner = await asyncpg.connect(servers.migration_url("audit"))
    await owner.execute("DROP TABLE months.events_1999_01, months.personal_1999_01")
    await owner.close()


@pytest.mark.usefixtures("months")
@pytest.mark.parametrize("what", FORGED)
async def test_only_what_continues_the_chain_is_appended(
    audit: Owner, thief: asyncpg.Connection, trail: str, what: str
) -> None:
    row = dict(
        await thief.fetchrow("SELECT * FROM events WHERE tenant_id = $1 AND sequence = 10", trail)
    )
    FORGED[what](row)
    before = await snapshot(audit, trail)

    async def copy() -> None:
        values = [tuple(row.values())]
        await thief.copy_records_to_table("events", records=values, columns=list(row))

    async def insert_with_head() -> None:
        async with thief.transaction():
            head = "UPDATE heads SET sequence = sequence + 1, digest = $2 WHERE tenant_id = $1"
            await thief.execute(head, trail, row["digest"])
            await insert(thief, row)

    for attempt in (lambda: insert(thief, row), copy, insert_with_head):
        with pytest.raises((*REFUSED, asyncpg.UniqueViolationError)):
            await attempt()
    assert await snapshot(audit, trail) == before


async def test_a_head_does_not_move_ahead_of_its_events(
    audit: Owner, thief: asyncpg.Connection, trail: str
) -> None:
    """The release before sends such a statement beside its events: it has no effect."""
    before = await snapshot(audit, trail)
    await thief.execute("UPDATE heads SET sequence = 99, digest = '' WHERE tenant_id = $1", trail)
    assert await snapshot(audit, trail) == before


CLOSINGS = [
    "SELECT close_trail($1)",
    "UPDATE heads SET closed_at = now() WHERE tenant_id = $1",
    "UPDATE heads SET closed_at = '1999-01-01', sequence = 0 WHERE tenant_id = $1",
]


@pytest.mark.parametrize("closing", CLOSINGS)
async def test_a_better_past_cannot_replace_an_erased_one(
    audit: Owner, thief: asyncpg.Connection, trail: str, closing: str
) -> None:
    """Closed, erased, and inserted anew: the last step fails, and the first two show for ever."""
    head = (await proof(audit, trail))["head"]
    events = await thief.fetch("SELECT * FROM events WHERE tenant_id = $1 ORDER BY 2", trail)
    await thief.execute(closing, trail)
    found = await proof(audit, trail)
    assert (found["valid"], found["length"], found["first_broken"]) == (False, 10, 11)
    assert await thief.fetchval("SELECT erase_events($1, 3)", trail) == 3
    found = await proof(audit, trail)
    assert (found["valid"], found["first_broken"]) == (False, 1)
    while await thief.fetchval("SELECT erase_events($1, 100)", trail):
        pass
    for attempt in (
        lambda: insert(thief, *map(dict, events)),
        lambda: insert(thief, {**events[-1], "sequence": 11}),
        lambda: thief.execute("UPDATE heads SET closed_at = NULL WHERE tenant_id = $1", trail),
        lambda: thief.execute("UPDATE heads SET sequence = 0 WHERE tenant_id = $1", trail),
        lambda: thief.execute("DELETE FROM heads WHERE tenant_id = $1", trail),
    ):
        with pytest.raises(REFUSED):
            await attempt()
    await thief.execute(
        "INSERT INTO heads (tenant_id, sequence) VALUES ($1, 0) ON CONFLICT DO NOTHING", trail
    )
    await thief.execute("SELECT close_trail($1)", trail)
    found = await proof(audit, trail)
    assert (found["valid"], found["length"], found["head"]) == (False, 10, head)
    marks = [(mark["kind"], mark["sequence"], mark["digest"]) for mark in found["marks"]]
    assert sorted(marks) == [("closed", 10, head), ("erased", 10, head)]
    living = await verify_tenant(thief, trail, {trail})
    assert (living["valid"], len(living["marks"])) == (False, 2)
    deleted = await verify_tenant(thief, trail, set())
    assert (deleted["valid"], len(deleted["marks"])) == (True, 2)


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


async def test_only_those_are_erased_whose_deletion_stands_in_the_trail(
    audit: Owner, thief: asyncpg.Connection, trail: str
) -> None:
    user, other = new_id("usr"), new_id("usr")
    async with audit.pool.acquire() as conn:
        await process_once(
            conn, handle_events, [heard(trail, "user.created", each) for each in (user, other)]
        )
        await process_once(conn, handle_events, [heard(trail, "user.deleted", user)])
    erase = "DELETE FROM personal WHERE tenant_id = $1 AND about_user = ANY($2)"
    for users in ([other], [user, other]):
        if users == [user, other]:
            await thief.execute("INSERT INTO forgotten VALUES ($1, $2, now())", trail, other)
        with pytest.raises(REFUSED):
            await thief.execute(erase, trail, users)
    # To erase the other, the deletion must be told first: it stands in the trail for ever.
    rows = await thief.fetch("SELECT action FROM events WHERE resource_id = $1", user)
    assert [row["action"] for row in rows] == ["user.created", "user.deleted"]


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_role_meets_no_database_but_its_own(servers: Servers, service: str) -> None:
    for database in ({*SERVICE_NAMES} - {service}) | {"postgres", "template1"}:
        for url in (servers.database_url(service), servers.migration_url(service)):
            with pytest.raises(REFUSED):
                await asyncpg.connect(url.rpartition("/")[0] + f"/{database}")


@pytest.mark.parametrize("service", SERVICE_NAMES)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SET session_replication_role = replica",
        "CREATE ROLE mine",
        "ALTER ROLE CURRENT_USER CREATEDB",
        "SELECT lo_import('/etc/passwd')",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' LIMIT 1",
    ],
)
async def test_a_runtime_role_works_with_rows_alone(
    servers: Servers, service: str, statement: str
) -> None:
    conn = await asyncpg.connect(servers.database_url(service))
    try:
        with pytest.raises((*REFUSED, asyncpg.ReadOnlySQLTransactionError)):
            await conn.execute(statement)
    finally:
        await conn.close()
