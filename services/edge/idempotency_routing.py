"""Which service an Idempotency-Key was sent to: a key is one request, whatever service answers it.

Each service stores its answers with the change and refuses the key for another request. That a key
comes back with a request for another service is seen here alone, and without Redis by nobody.
"""

import hashlib
import time

import structlog
from contracts.problems import Problem
from redis.asyncio import Redis
from redis.exceptions import RedisError

from edge.limits.rate_limits import RETRY_REDIS_SECONDS

log = structlog.get_logger()

KEPT_SECONDS = 24 * 3600


class IdempotencyRouting:
    """Shared by all edges, in Redis."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._unavailable_until = 0.0

    async def claim(self, principal: str, key: str, service: str) -> None:
        """Binds the key to the service. Raises Problem (422) when another one has it."""
        if self._redis is None or time.monotonic() < self._unavailable_until:
            return
        name = hashlib.sha256(f"{principal}\0{key}".encode()).hexdigest()[:32]
        try:
            is_new = await self._redis.set(f"key:{name}", service, nx=True, ex=KEPT_SECONDS)
            known_service = None if is_new else await self._redis.get(f"key:{name}")
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("redis_unavailable", error=type(error).__name__)
            self._unavailable_until = time.monotonic() + RETRY_REDIS_SECONDS
            return
        if known_service not in (None, service.encode()):
            raise Problem(
                "idempotency_key_reused",
                "This Idempotency-Key belongs to another request. Use a fresh one.",
            )
