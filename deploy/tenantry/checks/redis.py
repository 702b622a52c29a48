"""Redis, without which the product also works."""

import asyncio
import time

from chassis import tls
from chassis.redis_client import open_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from tenantry.checks.result import (
    NO_ANSWER,
    TIMEOUT_SECONDS,
    CheckResult,
    check_clock,
    log_of,
    ok,
    skipped,
    warning,
)
from tenantry.installation import Installation

_INSTALL = (
    "Install valkey-server or redis-server (`apt install valkey-server`, `brew install valkey`), "
    "and start `tenantry dev` again."
)
_WITHOUT = " Without it each edge limits on its own, and health says degraded."


async def check_redis(installation: Installation) -> list[CheckResult]:
    url = installation.redis_url
    if url is None and installation.folder is not None:
        return [warning("connection", "Redis", "there is none", f"{_INSTALL}{_WITHOUT}")]
    if url is None:
        return [skipped("connection", "Redis", "TENANTRY_REDIS_URL", _WITHOUT)]
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), open_redis(url) as redis:
            started = time.time()
            seconds, micros = await redis.time()
    except (RedisError, OSError, TimeoutError, ValueError) as error:
        log = log_of(installation.folder, "redis")
        is_lost = tls.tls_of(url) is not None and isinstance(error, RedisConnectionError)
        is_lost = is_lost and not isinstance(error.__cause__, OSError)
        fix = (
            tls.fix_of(error, "REDIS", is_lost=is_lost)
            or f"Check that Redis runs, {log}, and TENANTRY_REDIS_URL."
        )
        detail = NO_ANSWER if isinstance(error, TimeoutError) else str(error)
        return [warning("connection", "Redis", detail or type(error).__name__, fix + _WITHOUT)]
    milliseconds = (time.time() - started) * 1000
    return [
        ok("connection", "Redis", f"{milliseconds:.1f} ms"),
        check_clock("Redis", seconds + micros / 1e6, started),
    ]
