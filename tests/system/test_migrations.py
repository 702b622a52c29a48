"""Migrations: one at a time, wholly or not at all, and none that this release needs undone.

docs/upgrading.md says what a step of the next release may do; here is a schema with one.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from chaos.faults import Fault
from chaos.run import chaos_run
from chaos.stack import ProxiedStack
from chassis import migrations
from contracts.topology import SERVICE_NAMES, Lock
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from support.stack import tenantry
from support.waiting import until
from tenantry.servers import Servers, backing_servers

_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
_TABLES = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
 WHERE table_schema = 'public' ORDER BY 1, 2
"""
_EXPANDED = """
SELECT count(*) FROM information_schema.columns WHERE column_name = 'later_count'
"""
BETWEEN = 60
"""Answers to the load from one step of the upgrade to the next."""

STEP = '''
"""What may come in one release: columns, with a default or not, indexes, tables, wider types."""

import sqlalchemy as sa
from alembic import op

revision = "{number:04d}"
down_revision = "{head}"

TABLES = """
SELECT relname FROM pg_class
 WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
   AND relname <> 'alembic_version' ORDER BY relname
"""

VERSIONS = """
SELECT table_name FROM information_schema.columns
 WHERE table_schema = 'public' AND column_name = 'version' AND data_type = 'integer'
"""


def upgrade() -> None:
    for table in op.get_bind().execute(sa.text(VERSIONS)).scalars().all():
        op.alter_column(table, "version", type_=sa.BigInteger())
    for table in op.get_bind().execute(sa.text(TABLES)).scalars().all():
        op.add_column(table, sa.Column("later_note", sa.Text(), nullable=True))
        count = sa.Column("later_count", sa.Integer(), nullable=False, server_default="7")
        op.add_column(table, count)
        op.create_index(f"{{table}}_later", table, ["later_note"])
    op.create_table("later", sa.Column("id", sa.Text(), primary_key=True))
'''


@contextmanager
def later_release(folder: Path) -> Iterator[None]:
    """Inside, `chassis.migrations` knows one step more of each service than this release has."""
    of_this_release = migrations._config

    def config_of(service: str) -> Config:
        config = of_this_release(service)
        script = ScriptDirectory.from_config(config)
        head = script.get_current_head()
        assert head is not None
        later = folder / service
        later.mkdir(exist_ok=True)
        (later / "expand.py").write_text(STEP.format(head=head, number=int(head) + 1))
        locations = (Path(script.dir) / "versions", later)
        config.set_main_option("version_locations", ":".join(map(str, locations)))
        return config

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "_config", config_of)
        yield


def downgrade(service: str, url: str, revision: str = "base") -> None:
    """To no schema at all, or to an older one."""
    config = migrations._config(service)

    def work(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()

    asyncio.run(migrations._with_connection(url, work))


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Servers]:
    """Databases without a schema."""
    async with backing_servers(tmp_path / "bare", with_redis=False) as running:
        yield running


def owners(servers: Servers) -> dict[str, str]:
    return {
        f"TENANTRY_{service.upper()}_MIGRATION_URL": servers.migration_url(service)
        for service in SERVICE_NAMES
    }


async def columns(url: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(url)
    try:
        return list(await conn.fetch(_TABLES))
    finally:
        await conn.close()


async def test_of_two_migrations_at_once_one_does_it(bare: Servers) -> None:
    conn = await asyncpg.connect(bare.migration_url("identity"))
    await conn.execute("SELECT pg_advisory_lock($1)", Lock.MIGRATION)
    both = [asyncio.create_task(tenantry("migrate", "--json", **owners(bare))) for _ in "12"]

    async def both_wait() -> bool:
        return await conn.fetchval(_WAITING) == 2

    await until(both_wait)
    await conn.close()
    ran = await asyncio.gather(*both)
    assert [each.code for each in ran] == [0, 0], [each.err for each in ran]
    for service in SERVICE_NAMES:
        one, other = sorted(each.json["applied"][service] for each in ran)
        assert one == []
        assert other[0] == "0001"
    assert (await tenantry("migrate", "--check", **owners(bare))).code == 0


async def test_a_table_in_use_is_waited_for_a_while_and_then_nothing_has_changed(
    bare: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "PATIENCE_SECONDS", 0.3)
    url = bare.migration_url("identity")
    await asyncio.to_thread(migrations.upgrade, "identity", url)
    before = await columns(url)
    conn = await asyncpg.connect(url)
    with later_release(tmp_path):
        async with conn.transaction():
            await conn.execute("LOCK TABLE users IN ACCESS SHARE MODE")
            with pytest.raises(DBAPIError, match="lock timeout"):
                await asyncio.to_thread(migrations.upgrade, "identity", url)
            assert await columns(url) == before
        assert await asyncio.to_thread(migrations.upgrade, "identity", url)
    await conn.close()
    assert await columns(url) != before


async def test_a_transaction_that_goes_from_table_to_table_ends_before_the_migration(
    bare: Servers, tmp_path: Path
) -> None:
    """Neither of them is ended as one of a deadlock."""
    url = bare.migration_url("identity")
    await asyncio.to_thread(migrations.upgrade, "identity", url)
    before = await columns(url)
    conn, observer = await asyncpg.connect(url), await asyncpg.connect(url)

    async def migration_waits() -> bool:
        return await observer.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0

    with later_release(tmp_path):
        async with conn.transaction():
            await conn.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
            migration = asyncio.create_task(asyncio.to_thread(migrations.upgrade, "identity", url))
            for table in ("invitations", "members", "organizations", "sessions"):
                await until(migration_waits)
                await conn.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        assert await migration
    assert await columns(url) != before
    await conn.close()
    await observer.close()


async def test_the_release_before_leaves_a_newer_schema_alone(
    bare: Servers, tmp_path: Path
) -> None:
    with later_release(tmp_path):
        for service in SERVICE_NAMES:
            await asyncio.to_thread(migrations.upgrade, service, bare.migration_url(service))
    before = {service: await columns(bare.migration_url(service)) for service in SERVICE_NAMES}
    assert (await tenantry("migrate", "--check", **owners(bare))).code == 0
    ran = await tenantry("migrate", "--json", **owners(bare))
    assert (ran.code, ran.json) == (0, {"applied": {service: [] for service in SERVICE_NAMES}})
    assert before == {
        service: await columns(bare.migration_url(service)) for service in SERVICE_NAMES
    }


async def test_every_step_can_be_taken_back(bare: Servers) -> None:
    for service in SERVICE_NAMES:
        url = bare.migration_url(service)
        await asyncio.to_thread(migrations.upgrade, service, url)
        whole = await columns(url)
        await asyncio.to_thread(downgrade, service, url)
        assert {row["table_name"] for row in await columns(url)} == {"alembic_version"}
        await asyncio.to_thread(migrations.upgrade, service, url)
        assert await columns(url) == whole


async def test_what_is_there_is_kept_by_the_rules_of_today(bare: Servers) -> None:
    url = bare.migration_url("identity")
    await asyncio.to_thread(migrations.upgrade, "identity", url)
    await asyncio.to_thread(downgrade, "identity", url, "0003")
    conn = await asyncpg.connect(url)
    await conn.execute(
        "INSERT INTO users (tenant_id, id, email, email_verified, status, metadata, version,"
        " created_at, updated_at) VALUES ('ten_1', 'usr_1', 'ADA\u0130@x.test', true, 'active',"
        """ '{"n": 1e308, "m": 1e20, "a": [1.50, 7]}', 1, now(), now())"""
    )
    assert "users.metadata" not in await asyncio.to_thread(migrations.upgrade, "identity", url)
    ran = await tenantry("migrate", **owners(bare))  # processes of before may still run
    assert ran.code == 0
    assert "tenantry migrate --after-rollout" in ran.err
    assert (await tenantry("migrate", "--check", **owners(bare))).code == 0
    check = await tenantry("migrate", "--check", "--after-rollout", **owners(bare))
    assert (check.code, check.out.count("users.metadata pending")) == (1, 1)
    ran = await tenantry("migrate", "--after-rollout", **owners(bare))
    assert (ran.code, ran.err) == (0, "")
    row = await conn.fetchrow("SELECT email_key, metadata::text AS metadata FROM users")
    await conn.close()
    assert row is not None
    assert row["email_key"] == "ada\u0130@x.test"
    assert row["metadata"] in (
        '{"m":100000000000000000000,"n":1e+308,"a":[1.5,7]}',
        '{"a":[1.5,7],"m":100000000000000000000,"n":1e+308}',
    )


@pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")
async def test_this_release_works_on_the_schema_of_the_next(tmp_path: Path) -> None:
    """A rolling upgrade under load: processes that ran before it and processes that start after."""
    async with chaos_run(tmp_path) as run:
        async with run.under_load():
            await run.inject(Fault("kill", ("edge",), BETWEEN))
            with later_release(tmp_path):
                for service in SERVICE_NAMES:
                    await expand(run.stack, service)
            await run.inject(Fault("kill", SERVICE_NAMES, BETWEEN))
            goal = run.load.answered + BETWEEN

            async def load_went_on() -> bool:
                return run.load.answered > goal

            await until(load_went_on)
        await run.check()
        for service in SERVICE_NAMES:
            conn = await asyncpg.connect(run.stack.servers.migration_url(service))
            assert await conn.fetchval(_EXPANDED) > 5
            await conn.close()
    assert run.load.answers["2xx"] > 2 * BETWEEN
    run.assert_none()


async def expand(stack: ProxiedStack, service: str) -> None:
    """As the Job does it: once more when it met the load in the wrong moment."""
    url = stack.servers.migration_url(service)

    async def done() -> bool:
        try:
            await asyncio.to_thread(migrations.upgrade, service, url)
        except DBAPIError as error:
            stack.note(f"{service} was not expanded: {error}")
            return False
        return True

    await until(done, 60)
