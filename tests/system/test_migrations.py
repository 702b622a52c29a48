"""Migrations: one at a time, wholly or not at all, and none that this release needs undone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from chassis import migrations
from sqlalchemy.exc import DBAPIError
from support.commands import tenantry
from support.later_release import later_release, step_back
from support.waiting import until
from tenantry.data_folder.secrets import SERVICES
from tenantry.servers import Servers, backing_servers

_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
_TABLES = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
 WHERE table_schema = 'public' ORDER BY 1, 2
"""


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Servers]:
    """Databases without a schema."""
    async with backing_servers(tmp_path / "bare", with_redis=False) as running:
        yield running


def owners(servers: Servers) -> dict[str, str]:
    return {
        f"TENANTRY_{service.upper()}_MIGRATION_URL": servers.migration_url(service)
        for service in SERVICES
    }


async def columns(url: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(url)
    try:
        return list(await conn.fetch(_TABLES))
    finally:
        await conn.close()


async def test_of_two_migrations_at_once_one_does_it(bare: Servers) -> None:
    conn = await asyncpg.connect(bare.migration_url("identity"))
    await conn.execute("SELECT pg_advisory_lock($1)", migrations.LOCK)
    both = [asyncio.create_task(tenantry("migrate", "--json", **owners(bare))) for _ in "12"]

    async def both_wait() -> bool:
        return await conn.fetchval(_WAITING) == 2

    await until(both_wait)
    await conn.close()
    ran = await asyncio.gather(*both)
    assert [each.code for each in ran] == [0, 0], [each.err for each in ran]
    for service in SERVICES:
        one, other = sorted(each.json["applied"][service] for each in ran)
        assert one == []
        assert other[0] == "0001"
    assert (await tenantry("migrate", "--check", **owners(bare))).code == 0


async def test_a_table_in_use_is_waited_for_a_while_and_then_nothing_has_changed(
    bare: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "PATIENCE", "300ms")
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


async def test_the_release_before_leaves_a_newer_schema_alone(
    bare: Servers, tmp_path: Path
) -> None:
    with later_release(tmp_path):
        for service in SERVICES:
            await asyncio.to_thread(migrations.upgrade, service, bare.migration_url(service))
    before = {service: await columns(bare.migration_url(service)) for service in SERVICES}
    assert (await tenantry("migrate", "--check", **owners(bare))).code == 0
    ran = await tenantry("migrate", "--json", **owners(bare))
    assert (ran.code, ran.json) == (0, {"applied": {service: [] for service in SERVICES}})
    assert before == {service: await columns(bare.migration_url(service)) for service in SERVICES}


async def test_every_step_can_be_taken_back(bare: Servers) -> None:
    for service in SERVICES:
        url = bare.migration_url(service)
        await asyncio.to_thread(migrations.upgrade, service, url)
        whole = await columns(url)
        await asyncio.to_thread(step_back, service, url)
        assert {row["table_name"] for row in await columns(url)} == {"alembic_version"}
        await asyncio.to_thread(migrations.upgrade, service, url)
        assert await columns(url) == whole
