"""Each service's read replica, if it has one: a standby of its database that follows."""

import asyncio
import time

from asyncpg import Connection
from chassis.replica import NotAReplica, end_of_log, has_replayed, replayed

from tenantry.checks.result import NO_ANSWER, TIMEOUT_SECONDS, CheckResult, ok, skipped, warning
from tenantry.errors import CommandFailed
from tenantry.installation import Installation
from tenantry.operations.databases import connect

LAG_SECONDS = 2.0
_PAUSE = 0.05
_SLOW = "Its lists are read from the primary meanwhile. Look at pg_stat_replication there."


async def check_replicas(installation: Installation) -> list[CheckResult]:
    """Nothing of services without a replica."""
    services = installation.replica_urls
    return list(await asyncio.gather(*(_check(installation, each) for each in services)))


async def _check(installation: Installation, service: str) -> CheckResult:
    variable = f"TENANTRY_{service.upper()}_REPLICA_URL"
    if service not in installation.database_urls:
        return skipped("replica", service, f"TENANTRY_{service.upper()}_DATABASE_URL")
    primary_url, url = installation.database_url(service), installation.replica_urls[service]
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            connect(service, primary_url) as primary,
            connect(service, url, variable) as replica,
        ):
            return await _compare(service, primary, replica)
    except TimeoutError:
        return warning("replica", service, NO_ANSWER, _SLOW)
    except NotAReplica as error:
        fix = f"Name a streaming standby of the database of {service} by {variable}."
        return warning("replica", service, str(error), fix)
    except CommandFailed as error:
        return warning("replica", service, str(error), error.fix)


async def _compare(service: str, primary: Connection, replica: Connection) -> CheckResult:
    """How long it takes until the replica has what the primary has now."""
    started = time.monotonic()
    end = await end_of_log(primary)
    while not has_replayed(found := await replayed(replica), end):
        if time.monotonic() - started > LAG_SECONDS:
            detail = f"{end.place - found.place:,} bytes behind after {LAG_SECONDS:.0f} s"
            return warning("replica", service, detail, _SLOW)
        await asyncio.sleep(_PAUSE)
    return ok("replica", service, f"follows within {time.monotonic() - started:.2f} s")
