"""What `tenantry doctor` checks: all parts at the same time, each with a time limit.

A check does not raise: its result says what is wrong and what to do about it.
"""

import asyncio
from pathlib import Path

from tenantry.checks.api import check_api
from tenantry.checks.configuration import check_configuration
from tenantry.checks.databases import check_databases
from tenantry.checks.nats import check_nats
from tenantry.checks.redis import check_redis
from tenantry.checks.result import CheckResult, failed
from tenantry.errors import Misconfigured
from tenantry.installation import find_installation


async def run_checks(url: str | None, data: Path | None) -> list[CheckResult]:
    """All results, in the order in which one would fix what they find."""
    try:
        installation = find_installation(data)
    except Misconfigured as error:
        result = failed("configuration", "installation", str(error), error.fix)
        return [result, *await check_api(url, data)]
    parts = await asyncio.gather(
        check_databases(installation),
        check_nats(installation),
        check_redis(installation),
        check_api(url, data),
    )
    return [*check_configuration(installation), *(result for part in parts for result in part)]
