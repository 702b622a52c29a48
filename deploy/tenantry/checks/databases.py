"""Each service's database: reachable, of the right age, in step with the code, and draining."""

import asyncio
import time
from collections.abc import Callable

from asyncpg import Connection

from tenantry.checks.check import FAILED, LIMIT_SECONDS, OK, WARNING, Check, clock, skipped
from tenantry.databases import connected
from tenantry.failing import Failed
from tenantry.installation import Backing
from tenantry.keys import SERVICES
from tenantry.schemas import pending

OLDEST = 160_000
LATE_SECONDS = 60.0
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
_DEAD = "SELECT count(*) FROM dead_letters"


async def examine(place: Backing) -> list[Check]:
    parts = await asyncio.gather(*(_service(place, service) for service in SERVICES))
    schemas = await asyncio.gather(*(_schema(place, service) for service in SERVICES))
    clocks = [each for part in parts for each in part if each.check == "clock"]
    others = [each for part in parts for each in part if each.check != "clock"]
    return [*others, *schemas, *_once(clocks)]


async def _service(place: Backing, service: str) -> list[Check]:
    name = f"database of {service}"
    if service not in place.databases:
        return [skipped("connection", name, f"TENANTRY_{service.upper()}_DATABASE_URL")]
    found: list[Check] = []
    try:
        async with asyncio.timeout(LIMIT_SECONDS), connected(service, place.database(service)) as c:
            found += await _reached(c, name)
            found += [await _outbox(c, service), await _dead_letters(c, service)]
    except TimeoutError:
        fix = "PostgreSQL hangs or is overloaded: look at its log and at pg_stat_activity."
        found.append(Check("connection", name, FAILED, f"no answer in {LIMIT_SECONDS:.0f} s", fix))
    except Failed as failed:
        found.append(Check("connection", name, FAILED, str(failed), failed.fix))
    return found


async def _reached(conn: Connection, name: str) -> list[Check]:
    begun = time.time()
    theirs = await conn.fetchval(_NOW)
    seen = clock("PostgreSQL", theirs, begun)
    milliseconds = (time.time() - begun) * 1000
    version = int(await conn.fetchval("SHOW server_version_num"))
    shown = f"PostgreSQL {version // 10_000}, {milliseconds:.1f} ms"
    if version < OLDEST:
        fix = f"Upgrade PostgreSQL to {OLDEST // 10_000} or newer."
        return [Check("connection", name, FAILED, shown, fix), seen]
    return [Check("connection", name, OK, shown), seen]


async def _outbox(conn: Connection, service: str) -> Check:
    from outbox.relay import oldest_unpublished

    age = await oldest_unpublished(conn)
    if age > LATE_SECONDS:
        return Check(
            "events", f"outbox of {service}", FAILED, f"the oldest waits for {age:,.0f} s",
            f"Nobody publishes them: check that {service} runs and reaches NATS (its log, and the "
            "stream below).",
        )  # fmt: skip
    return Check("events", f"outbox of {service}", OK, "published" if age == 0 else f"{age:.1f} s")


async def _dead_letters(conn: Connection, service: str) -> Check:
    count = await conn.fetchval(_DEAD)
    if count:
        fix = "`tenantry events dead-letters list` shows why; mend that, then `requeue`."
        return Check("events", f"dead letters of {service}", WARNING, f"{count:,}", fix)
    return Check("events", f"dead letters of {service}", OK, "none")


async def _schema(place: Backing, service: str) -> Check:
    name = f"schema of {service}"
    if service not in place.migrations:
        return skipped("migrations", name, f"TENANTRY_{service.upper()}_MIGRATION_URL")
    try:
        lacking = await _in_time(pending, service, place.migration(service))
    except Failed as failed:
        return Check("migrations", name, FAILED, str(failed), failed.fix)
    if lacking:
        fix = "Run `tenantry migrate`, then start the services again."
        return Check("migrations", name, FAILED, f"{', '.join(lacking)} pending", fix)
    return Check("migrations", name, OK, "up to date")


async def _in_time(work: Callable[[str, str], list[str]], service: str, url: str) -> list[str]:
    try:
        async with asyncio.timeout(2 * LIMIT_SECONDS):
            return await asyncio.to_thread(work, service, url)
    except TimeoutError:
        raise Failed(
            f"no answer in {2 * LIMIT_SECONDS:.0f} s", "Look whether a migration holds its lock."
        ) from None


def _once(clocks: list[Check]) -> list[Check]:
    """One for each server would be the same four times; the worst is told."""
    return sorted(clocks, key=lambda each: each.status == OK)[:1]
