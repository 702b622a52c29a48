"""Every SQL statement is bound to its tenant, and is one that the migrated database can run."""

import asyncio

import asyncpg
import pytest
from chassis import migrate
from chassis.boundary import EXPIRE
from chassis.statements import Statement
from tenantry.servers import Servers

SERVICES = ["identity", "projects", "webhooks", "audit"]


def statements_of(service: str) -> dict[str, Statement]:
    """The module-level statements of a service by name."""
    import importlib
    import pkgutil

    found = {}
    package = importlib.import_module(service)
    for module in pkgutil.iter_modules(package.__path__, f"{service}."):
        if module.name.endswith(("__main__", "migrations")):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Statement) and value is not EXPIRE:
                found[f"{module.name}.{name}"] = value
    return found


@pytest.mark.parametrize("service", SERVICES)
async def test_every_statement_can_be_prepared(service: str, servers: Servers) -> None:
    await asyncio.to_thread(migrate.upgrade, service, servers.migration_url(service))
    conn = await asyncpg.connect(servers.database_url(service))
    try:
        for name, statement in statements_of(service).items():
            try:
                await conn.prepare(statement.sql)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}\n{statement.sql}")
    finally:
        await conn.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_the_tables_and_the_migrations_agree(service: str, servers: Servers) -> None:
    url = servers.migration_url(service)
    await asyncio.to_thread(migrate.upgrade, service, url)
    assert await asyncio.to_thread(migrate.pending, service, url) == []
