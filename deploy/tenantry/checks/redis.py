"""Redis, which the product can do without."""

import asyncio
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tenantry.checks.check import LIMIT_SECONDS, OK, SKIPPED, WARNING, Check, clock
from tenantry.installation import Backing

_WITHOUT = "Without it each edge limits on its own, and health says degraded."


async def examine(place: Backing) -> list[Check]:
    if place.redis_url is None:
        fix = f"Set TENANTRY_REDIS_URL to have it checked. {_WITHOUT}"
        return [Check("connection", "Redis", SKIPPED, "TENANTRY_REDIS_URL is not set", fix)]
    begun = time.time()
    try:
        async with asyncio.timeout(LIMIT_SECONDS), Redis.from_url(place.redis_url) as redis:
            begun = time.time()
            seconds, micros = await redis.time()
    except (RedisError, OSError, TimeoutError, ValueError) as error:
        fix = f"Check TENANTRY_REDIS_URL and that Redis runs. {_WITHOUT}"
        return [Check("connection", "Redis", WARNING, str(error) or type(error).__name__, fix)]
    milliseconds = (time.time() - begun) * 1000
    return [
        Check("connection", "Redis", OK, f"{milliseconds:.1f} ms"),
        clock("Redis", seconds + micros / 1e6, begun),
    ]
