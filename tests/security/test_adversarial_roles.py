"""A service that was taken over has its database password: with it, it meets its own rows alone.

The adversary is a plain connection of the runtime role, without a line of our code.
"""

import asyncpg
import pytest
from contracts.topology import SERVICE_NAMES
from security.taken_over_audit.thief import REFUSED
from tenantry.servers import Servers


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
    other = await asyncpg.connect(servers.superuser_url)  # whom it may not end
    try:
        with pytest.raises((*REFUSED, asyncpg.ReadOnlySQLTransactionError)):
            await conn.execute(statement)
    finally:
        await conn.close()
        await other.close()
