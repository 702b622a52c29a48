"""Each service's database: reachable, new enough, migrated, and without a backlog of events."""

import asyncio
import time
from collections.abc import Callable

from asyncpg import Connection
from contracts.topology import SERVICE_NAMES

from tenantry.checks.result import (
    NO_ANSWER,
    TIMEOUT_SECONDS,
    CheckResult,
    check_clock,
    failed,
    ok,
    skipped,
    warning,
)
from tenantry.errors import CommandFailed
from tenantry.installation import Installation
from tenantry.operations.databases import connect
from tenantry.operations.migrations import pending

OLDEST = 160_000
LATE_SECONDS = 60.0
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
_OTHERS = """
SELECT datname FROM pg_database
 WHERE datallowconn AND datname <> current_database()
   AND has_database_privilege(datname, 'CONNECT') ORDER BY 1
"""
_TEMPORARY = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"
_DEAD = "SELECT count(*) FROM dead_letters"


async def check_databases(installation: Installation) -> list[CheckResult]:
    parts = await asyncio.gather(*(_check_database(installation, each) for each in SERVICE_NAMES))
    schemas = await asyncio.gather(*(_check_schema(installation, each) for each in SERVICE_NAMES))
    results = [result for part in parts for result in part]
    clocks = [result for result in results if result.check == "clock"]
    others = [result for result in results if result.check != "clock"]
    return [*others, *schemas, *_worst(clocks)]


async def _check_database(installation: Installation, service: str) -> list[CheckResult]:
    name = f"database of {service}"
    if service not in installation.database_urls:
        return [skipped("connection", name, f"TENANTRY_{service.upper()}_DATABASE_URL")]
    results: list[CheckResult] = []
    url = installation.database_url(service)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), connect(service, url) as conn:
            results += await _check_connection(conn, name)
            results.append(await _check_rights(conn, name))
            results.append(await _check_outbox(conn, service))
            results.append(await _check_dead_letters(conn, service))
    except TimeoutError:
        fix = "PostgreSQL hangs or is overloaded: look at its log and at pg_stat_activity."
        results.append(failed("connection", name, NO_ANSWER, fix))
    except CommandFailed as error:
        results.append(failed("connection", name, str(error), error.fix))
    return results


async def _check_connection(conn: Connection, name: str) -> list[CheckResult]:
    started = time.time()
    theirs = await conn.fetchval(_NOW)
    clock = check_clock("PostgreSQL", theirs, started)
    milliseconds = (time.time() - started) * 1000
    version = int(await conn.fetchval("SHOW server_version_num"))
    shown = f"PostgreSQL {version // 10_000}, {milliseconds:.1f} ms"
    if version < OLDEST:
        fix = f"Upgrade PostgreSQL to {OLDEST // 10_000} or newer."
        return [failed("connection", name, shown, fix), clock]
    return [ok("connection", name, shown), clock]


async def _check_rights(conn: Connection, name: str) -> CheckResult:
    """The runtime role meets no other database, and makes no temporary tables in its own."""
    others = [row["datname"] for row in await conn.fetch(_OTHERS)]
    if await conn.fetchval(_TEMPORARY):
        detail = "its role may make temporary tables"
    elif others:
        detail = f"its role may connect to {', '.join(others)} too"
    else:
        return ok("rights", name, "its own database only")
    fix = "As a superuser: REVOKE ALL ON DATABASE … FROM PUBLIC, as deploy/postgres/init.sql does."
    return warning("rights", name, detail, fix)


async def _check_outbox(conn: Connection, service: str) -> CheckResult:
    from outbox.relay import oldest_unpublished

    age = await oldest_unpublished(conn)
    name = f"outbox of {service}"
    if age > LATE_SECONDS:
        fix = (
            f"Nobody publishes them: check that {service} runs and reaches NATS (its log, and the "
            "stream below)."
        )
        return failed("events", name, f"the oldest waits for {age:,.0f} s", fix)
    return ok("events", name, "published" if age == 0 else f"{age:.1f} s")


async def _check_dead_letters(conn: Connection, service: str) -> CheckResult:
    count = await conn.fetchval(_DEAD)
    if count:
        fix = "`tenantry events dead-letters list` shows why; fix that, then `requeue`."
        return warning("events", f"dead letters of {service}", f"{count:,}", fix)
    return ok("events", f"dead letters of {service}", "none")


async def _check_schema(installation: Installation, service: str) -> CheckResult:
    name = f"schema of {service}"
    if service not in installation.migration_urls:
        return skipped("migrations", name, f"TENANTRY_{service.upper()}_MIGRATION_URL")
    try:
        lacking = await _with_timeout(pending, service, installation.migration_url(service))
    except CommandFailed as error:
        return failed("migrations", name, str(error), error.fix)
    if lacking:
        fix = "Run `tenantry migrate`, then start the services again."
        return failed("migrations", name, f"{', '.join(lacking)} pending", fix)
    return ok("migrations", name, "up to date")


async def _with_timeout(work: Callable[[str, str], list[str]], service: str, url: str) -> list[str]:
    try:
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            return await asyncio.to_thread(work, service, url)
    except TimeoutError:
        raise CommandFailed(
            f"no answer in {2 * TIMEOUT_SECONDS:.0f} s", "Look whether a migration holds its lock."
        ) from None


def _worst(clocks: list[CheckResult]) -> list[CheckResult]:
    """The databases are often on one server: its clock is reported once."""
    return sorted(clocks, key=lambda result: result.status == "ok")[:1]
