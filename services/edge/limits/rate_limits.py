"""Rate limits: a token bucket for each credential in Redis, shared by all edges.

Tokens are drawn in small leases, not by a call per request. Without Redis each edge limits on its
own. Headers as of draft-ietf-httpapi-ratelimit-headers.
"""

import asyncio
import math
import time
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network, ip_address

import structlog
from cachetools import LRUCache
from contracts.problems import Problem
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

_TAKE = """
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local rate, capacity, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens, at = tonumber(bucket[1]) or capacity, tonumber(bucket[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)
local taken = math.min(wanted, math.floor(tokens))
tokens = tokens - taken
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / rate * 1000) + 1000)
return {taken, tostring(tokens)}
"""
LEASE_SECONDS = 1.0
REDIS_SECONDS = 0.2
RETRY_REDIS_SECONDS = 1.0
BUCKETS = 100_000


@dataclass(slots=True)
class _Bucket:
    """`leased` tokens are ours until `leased_until`; `tokens` is what the bucket had after that."""

    leased: int = 0
    leased_until: float = 0.0
    tokens: float = 0.0
    at: float = 0.0
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def has_lease(self, now: float) -> bool:
        return self.leased > 0 and now <= self.leased_until


@dataclass(slots=True)
class Grant:
    """Whether a request may go on, and the raw headers that say how the limit stands."""

    allowed: bool
    headers: dict[bytes, bytes]
    retry_after: int

    def problem(self) -> Problem:
        """The 429 of a request that is not allowed."""
        return Problem(
            "rate_limited",
            f"Too many requests. Try again in {self.retry_after} s.",
            retry_after=self.retry_after,
        )


class RateLimits:
    """`count` requests in `seconds`, in bursts of twice that."""

    def __init__(self, redis: Redis | None, count: int, seconds: int) -> None:
        self._redis = redis
        self._script = redis.register_script(_TAKE) if redis is not None else None
        self._policy = f'"default";q={count};w={seconds}'.encode()
        self._rate = count / seconds
        self._capacity = 2 * count
        self._lease = max(1, min(200, count // 20))
        self._buckets: LRUCache[str, _Bucket] = LRUCache(BUCKETS)
        self._redis_unavailable_until = 0.0

    async def take(self, name: str) -> Grant:
        """One request of the credential or address `name`."""
        bucket = self._buckets.get(name)
        now = time.monotonic()
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(tokens=self._capacity, at=now)
        if not bucket.has_lease(now):
            # Requests that come meanwhile wait for this lease instead of drawing one of their own.
            async with bucket.drawing:
                now = time.monotonic()
                if not bucket.has_lease(now):
                    bucket.leased = 0
                    await self._draw(name, bucket, now)
        allowed = bucket.leased > 0
        bucket.leased -= allowed
        return self._grant(bucket, allowed=allowed)

    async def _draw(self, name: str, bucket: _Bucket, now: float) -> None:
        if self._script is not None and now >= self._redis_unavailable_until:
            try:
                arguments = [self._rate, self._capacity, self._lease]
                taken, tokens = await self._script([f"limit:{name}"], arguments)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_unavailable", error=type(error).__name__)
                self._redis_unavailable_until = now + RETRY_REDIS_SECONDS
            else:
                bucket.leased += int(taken)
                bucket.leased_until = now + LEASE_SECONDS
                bucket.tokens, bucket.at = float(tokens), now
                return
        refilled = bucket.tokens + (now - bucket.at) * self._rate
        bucket.tokens, bucket.at = min(self._capacity, refilled), now
        taken = min(self._lease, math.floor(bucket.tokens))
        bucket.tokens -= taken
        bucket.leased += taken
        bucket.leased_until = now + LEASE_SECONDS

    def _grant(self, bucket: _Bucket, *, allowed: bool) -> Grant:
        remaining = max(0, math.floor(bucket.tokens) + bucket.leased)
        wait = max(1, math.ceil((1 - bucket.tokens) / self._rate)) if not remaining else 1
        headers = {
            b"ratelimit-policy": self._policy,
            b"ratelimit": b'"default";r=%d;t=%d' % (remaining, wait),
        }
        return Grant(allowed, headers, wait)


def address_bucket(address: str | None) -> str:
    """The name of the bucket of an address: of an IPv6 customer's whole /64, who has 2^64 of them.

    RFC 6177 and RFC 4291 2.5.4: no site is given less.
    """
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "address:unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"address:{parsed.ipv4_mapped}"
        return f"address:{IPv6Network((parsed.packed, 64), strict=False)}"
    return f"address:{parsed}"
