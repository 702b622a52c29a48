"""Redis, without which the product also works."""

import asyncio
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tenantry.checks.result import TIMEOUT_SECONDS, CheckResult, check_clock, ok, skipped, warning
from tenantry.installation import Installation

_WITHOUT = " Without it each edge limits on its own, and health says degraded."


async def check_redis(installation: Installation) -> list[CheckResult]:
    url = installation.redis_url
    if url is None and installation.folder is not None:
        fix = f"Install valkey-server or redis-server, and start `tenantry dev` again.{_WITHOUT}"
        return [warning("connection", "Redis", "none was found on this machine", fix)]
    if url is None:
        return [skipped("connection", "Redis", "TENANTRY_REDIS_URL", _WITHOUT)]
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), Redis.from_url(url) as redis:
            started = time.time()
            seconds, micros = await redis.time()
    except (RedisError, OSError, TimeoutError, ValueError) as error:
        fix = f"Check TENANTRY_REDIS_URL and that Redis runs.{_WITHOUT}"
        return [warning("connection", "Redis", str(error) or type(error).__name__, fix)]
    milliseconds = (time.time() - started) * 1000
    return [
        ok("connection", "Redis", f"{milliseconds:.1f} ms"),
        check_clock("Redis", seconds + micros / 1e6, started),
    ]
