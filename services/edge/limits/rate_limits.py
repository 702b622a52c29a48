"""Rate limits: a token bucket for each credential, and one for all of a tenant, in Redis, shared by
all edges; for requests without a credential one for each address.

Tokens are drawn in small leases, not by a call per request. Without Redis each edge limits on its
own. Headers as of draft-ietf-httpapi-ratelimit-headers, of the limit that has less left.
"""

import asyncio
import math
import time
from dataclasses import dataclass, field

import structlog
from cachetools import LRUCache
from chassis.client_addresses import site_of
from contracts.problems import Problem
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

_TAKE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local drawn = {}
for i, key in ipairs(KEYS) do
  local rate, capacity = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local bucket = redis.call('HMGET', key, 'tokens', 'at')
  local tokens, at = tonumber(bucket[1]) or capacity, tonumber(bucket[2]) or now
  tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)
  local taken = math.min(tonumber(ARGV[3 * i]), math.floor(tokens))
  tokens = tokens - taken
  redis.call('HSET', key, 'tokens', tostring(tokens), 'at', tostring(now))
  redis.call('PEXPIRE', key, math.ceil(capacity / rate * 1000) + 1000)
  drawn[2 * i - 1], drawn[2 * i] = taken, tostring(tokens)
end
return drawn
"""
LEASE_SECONDS = 1.0
REDIS_SECONDS = 0.2
RETRY_REDIS_SECONDS = 1.0
BUCKETS = 100_000


@dataclass(frozen=True)
class Rate:
    """`count` requests in `seconds`, in bursts of twice that; `name` as the headers say it."""

    name: str
    count: int
    seconds: int
    who: str = ""
    per_second: float = field(init=False)
    capacity: int = field(init=False)
    lease: int = field(init=False)
    policy: bytes = field(init=False)

    def __post_init__(self) -> None:
        policy = f'"{self.name}";q={self.count};w={self.seconds}'.encode()
        derived = {
            "per_second": self.count / self.seconds,
            "capacity": 2 * self.count,
            "lease": max(1, min(200, self.count // 20)),
            "policy": policy,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)


@dataclass(slots=True)
class _Bucket:
    """`leased` tokens are ours until `leased_until`; `tokens` is what the bucket had after that.

    Nothing is to be had of an empty one before `empty_until`, however often it is asked.
    """

    name: str
    rate: Rate
    tokens: float
    at: float
    leased: int = 0
    leased_until: float = 0.0
    empty_until: float = 0.0
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def needs_lease(self, now: float) -> bool:
        return (self.leased <= 0 or now > self.leased_until) and now >= self.empty_until

    def add_lease(self, taken: int, tokens: float, now: float) -> None:
        self.leased, self.leased_until = taken, now + LEASE_SECONDS
        self.tokens, self.at = tokens, now
        self.empty_until = now if taken else now + (1 - tokens) / self.rate.per_second

    @property
    def remaining(self) -> int:
        return max(0, math.floor(self.tokens) + self.leased)


@dataclass(slots=True)
class Grant:
    """Whether a request may go on, and the raw headers that say how the limit stands."""

    allowed: bool
    headers: dict[bytes, bytes]
    retry_after: int
    who: str

    def problem(self) -> Problem:
        """The 429 of a request that is not allowed."""
        return Problem(
            "rate_limited",
            f"Too many requests{self.who}. Try again in {self.retry_after} s.",
            retry_after=self.retry_after,
        )


class RateLimits:
    """`rate` of each credential or address; `tenant_rate` of all credentials of a tenant."""

    def __init__(
        self, redis: Redis | None, rate: tuple[int, int], tenant_rate: tuple[int, int]
    ) -> None:
        self._script = redis.register_script(_TAKE) if redis is not None else None
        self._rate = Rate("default", *rate)
        self._tenant_rate = Rate("tenant", *tenant_rate, who=" of the tenant's keys together")
        self._buckets: LRUCache[str, _Bucket] = LRUCache(BUCKETS)
        self._redis_unavailable_until = 0.0

    async def take(self, name: str, tenant_id: str | None = None) -> Grant:
        """One request of the credential or address `name`, and of its tenant."""
        now = time.monotonic()
        own = self._bucket(name, self._rate, now)
        shared = None
        if tenant_id is not None:
            shared = self._bucket(f"tenant:{tenant_id}", self._tenant_rate, now)
        while own.needs_lease(now) or (shared is not None and shared.needs_lease(now)):
            await self._draw_leases(own, shared)
            now = time.monotonic()  # while one lease was drawn, others may have used up the other
        allowed = own.leased > 0 and (shared is None or shared.leased > 0)
        if allowed:
            own.leased -= 1
            if shared is not None:
                shared.leased -= 1
        if shared is not None and shared.remaining < own.remaining:
            return _grant(shared, allowed=allowed)
        return _grant(own, allowed=allowed)

    def _bucket(self, name: str, rate: Rate, now: float) -> _Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(name, rate, rate.capacity, now)
        return bucket

    async def _draw_leases(self, own: _Bucket, shared: _Bucket | None) -> None:
        """Requests that come meanwhile wait for these leases instead of drawing their own."""
        async with own.drawing:
            now = time.monotonic()
            if shared is None or not shared.needs_lease(now):
                await self._draw([own] if own.needs_lease(now) else [])
                return
            async with shared.drawing:
                now = time.monotonic()
                await self._draw([each for each in (own, shared) if each.needs_lease(now)])

    async def _draw(self, buckets: list[_Bucket]) -> None:
        now = time.monotonic()
        if not buckets:
            return
        for each in buckets:
            each.leased = 0
        if self._script is not None and now >= self._redis_unavailable_until:
            arguments: list[float] = []
            for each in buckets:
                arguments += (each.rate.per_second, each.rate.capacity, each.rate.lease)
            try:
                drawn = await self._script([f"limit:{each.name}" for each in buckets], arguments)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_unavailable", error=type(error).__name__)
                self._redis_unavailable_until = now + RETRY_REDIS_SECONDS
            else:
                for each, taken, tokens in zip(buckets, drawn[::2], drawn[1::2], strict=True):
                    each.add_lease(int(taken), float(tokens), now)
                return
        for each in buckets:
            refilled = each.tokens + (now - each.at) * each.rate.per_second
            tokens = min(each.rate.capacity, refilled)
            taken = min(each.rate.lease, math.floor(tokens))
            each.add_lease(taken, tokens - taken, now)


def _grant(bucket: _Bucket, *, allowed: bool) -> Grant:
    remaining, rate = bucket.remaining, bucket.rate
    wait = max(1, math.ceil((1 - bucket.tokens) / rate.per_second)) if not remaining else 1
    headers = {
        b"ratelimit-policy": rate.policy,
        b"ratelimit": b'"%s";r=%d;t=%d' % (rate.name.encode(), remaining, wait),
    }
    return Grant(allowed, headers, wait, rate.who)


def address_bucket(address: str | None) -> str:
    """The name of the bucket of an address: of an IPv6 customer's whole /64."""
    return f"address:{site_of(address)}"
