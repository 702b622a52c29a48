"""Each service's database: reachable, new enough, migrated, and without a backlog of events."""

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from asyncpg import Connection
from chassis.json_columns import JSONB_COLUMNS, declared_as_json
from chassis.migrations import pending_after
from contracts.topology import SERVICE_NAMES

from tenantry.checks.result import (
    NO_ANSWER,
    TIMEOUT_SECONDS,
    CheckResult,
    check_clock,
    failed,
    log_of,
    ok,
    skipped,
    warning,
)
from tenantry.errors import CommandFailed
from tenantry.installation import Installation
from tenantry.operations.databases import connect

DEFAULT_PORT = 5432
OLDEST = 160_000
LATE_SECONDS = 60.0
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
_OTHERS = """
SELECT datname FROM pg_database
 WHERE datallowconn AND datname <> current_database()
   AND has_database_privilege(datname, 'CONNECT') ORDER BY 1
"""
_TEMPORARY = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"
_HAS_REVISION = "SELECT to_regclass('alembic_version') IS NOT NULL"
_REVISION = "SELECT version_num FROM alembic_version"
_DEAD = "SELECT count(*) FROM dead_letters"


@dataclass
class _Look:
    """At one database. `away` says why its server did not answer, `fix` what mends its TLS."""

    results: list[CheckResult]
    away: str | None = None
    fix: str | None = None


async def check_databases(installation: Installation) -> list[CheckResult]:
    looks, schemas = await asyncio.gather(
        asyncio.gather(*(_look_at(installation, service) for service in SERVICE_NAMES)),
        asyncio.gather(*(_check_schema(installation, service) for service in SERVICE_NAMES)),
    )
    results = [result for look in looks for result in look.results]
    clocks = [result for result in results if result.check == "clock"]
    others = [result for result in results if result.check != "clock"]
    return [*_check_server(installation, looks), *others, *schemas, *_worst(clocks)]


def _check_server(installation: Installation, looks: list[_Look]) -> list[CheckResult]:
    """One server that holds all databases, and is away with them."""
    parts = [urlsplit(url) for url in installation.database_urls.values()]
    servers = {f"{each.hostname}:{each.port or DEFAULT_PORT}" for each in parts}
    reasons = [look.away for look in looks if look.away is not None]
    if len(servers) != 1 or len(parts) < 2 or len(reasons) != len(parts):
        return []
    log = log_of(installation.folder, "postgres")
    if NO_ANSWER in reasons:
        detail, fix = NO_ANSWER, f"It hangs or is overloaded: look at {log} and at its disk."
    else:
        detail, fix = reasons[0], looks[0].fix or f"Start PostgreSQL; {log} says why it ended."
    return [failed("connection", "PostgreSQL", f"{servers.pop()}: {detail}", fix)]


async def _look_at(installation: Installation, service: str) -> _Look:
    name = f"database of {service}"
    if service not in installation.database_urls:
        return _Look([skipped("connection", name, f"TENANTRY_{service.upper()}_DATABASE_URL")])
    results: list[CheckResult] = []
    try:
        url = installation.database_url(service)
        async with asyncio.timeout(TIMEOUT_SECONDS), connect(service, url) as conn:
            results += await _check_connection(conn, name)
            results.append(await _check_rights(conn, name))
            results.append(await _check_outbox(conn, service))
            results.append(await _check_dead_letters(conn, service))
    except TimeoutError:
        fix = "A lock or overload: look at pg_stat_activity, and at the log of PostgreSQL."
        lost = failed("connection", name, NO_ANSWER, fix)
        return _Look([*(each for each in results if each.name != lost.name), lost], _away(results))
    except CommandFailed as error:
        if error.code == "schema_behind":
            return _Look(
                [*results, failed("events", f"outbox of {service}", str(error), error.fix)]
            )
        reason = error.details.get("reason") if error.code == "database_away" else None
        lost = failed("connection", name, str(error), error.fix)
        return _Look([*results, lost], reason, error.details.get("tls"))
    return _Look(results)


def _away(results: list[CheckResult]) -> str | None:
    return None if results else NO_ANSWER


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
    variable = f"TENANTRY_{service.upper()}_MIGRATION_URL"
    if service not in installation.migration_urls:
        return skipped("migrations", name, variable)
    try:
        url = installation.migration_url(service)
        async with asyncio.timeout(TIMEOUT_SECONDS), connect(service, url, variable) as conn:
            exists = await conn.fetchval(_HAS_REVISION)
            revision = await conn.fetchval(_REVISION) if exists else None
            jsonb = {tuple(row) for row in await conn.fetch(JSONB_COLUMNS)}
    except TimeoutError:
        return failed("migrations", name, NO_ANSWER, "Look whether a migration holds its lock.")
    except CommandFailed as error:
        return failed("migrations", name, str(error), error.fix)
    if lacking := await asyncio.to_thread(pending_after, service, revision):
        fix = "Run `tenantry migrate`, then start the services again."
        return failed("migrations", name, f"{', '.join(lacking)} pending", fix)
    if left := await asyncio.to_thread(declared_as_json, service, jsonb):
        fix = "When no process of the release before runs: `tenantry migrate --after-rollout`."
        return warning("migrations", name, f"{', '.join(map(str, left))} waits for it", fix)
    return ok("migrations", name, "up to date")


def _worst(clocks: list[CheckResult]) -> list[CheckResult]:
    """The databases are often on one server: its clock is reported once."""
    return sorted(clocks, key=lambda result: result.status == "ok")[:1]
