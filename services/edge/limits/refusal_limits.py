"""Which refused attempts of a key are recorded: one a minute for each network that they come from
(/24, IPv6 /64), and a hundred a day. The others are counted, however many addresses there are.

Shared by all edges in Redis. Without Redis each edge limits on its own.
"""

import asyncio
import time
from datetime import UTC, datetime

import structlog
from cachetools import LRUCache, TTLCache
from chassis.client_addresses import network_of
from chassis.telemetry import REFUSALS_UNRECORDED
from redis.asyncio import Redis
from redis.exceptions import RedisError

from edge.limits.rate_limits import RETRY_REDIS_SECONDS

log = structlog.get_logger()

INTERVAL_SECONDS = 60
MAX_A_DAY = 100
KEPT = 50_000
"""Keys, and pairs of key and network, that an edge remembers."""
_DAY_SECONDS = 24 * 3600
_COUNT = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then return 0 end
local count = redis.call('INCR', KEYS[2])
if count == 1 then redis.call('EXPIRE', KEYS[2], ARGV[2]) end
return count
"""
"""How many the key has today, with this one; 0 for one of a network that had its one."""


class RefusalLimits:
    """For each refused attempt `may_be_due` is asked, and if it may, `is_due`."""

    def __init__(self, redis: Redis | None = None) -> None:
        self._script = redis.register_script(_COUNT) if redis is not None else None
        self._recent: TTLCache[tuple[str, str], bool] = TTLCache(KEPT, INTERVAL_SECONDS)
        self._asked: LRUCache[tuple[str, str], int] = LRUCache(KEPT)
        self._asking = asyncio.Lock()  # no flood takes the connections of the rate limits
        self._redis_unavailable_until = 0.0

    def may_be_due(self, key_id: str, address: str | None) -> bool:
        """False for an attempt of which this edge knows by itself that it is not recorded."""
        pair = (key_id, network_of(address))
        if pair in self._recent:
            return False
        self._recent[pair] = True
        day = (key_id, _today())
        self._asked[day] = self._asked.get(day, 0) + 1
        if self._asked[day] <= MAX_A_DAY:
            return True
        if self._asked[day] == MAX_A_DAY + 1:
            log.warning("refusals_unrecorded", key_id=key_id, day=day[1])
        REFUSALS_UNRECORDED.inc()
        return False

    async def is_due(self, key_id: str, address: str | None) -> bool:
        """Whether an attempt that may be due is recorded; it counts from now on."""
        today = _today()
        async with self._asking:
            count = await self._count(key_id, network_of(address), today)
        if count > MAX_A_DAY:
            REFUSALS_UNRECORDED.inc()
        return 0 < count <= MAX_A_DAY

    async def _count(self, key_id: str, network: str, today: str) -> int:
        if self._script is not None and time.monotonic() >= self._redis_unavailable_until:
            try:
                names = [f"refused:{key_id}:{network}", f"refusals:{key_id}:{today}"]
                return int(await self._script(names, [INTERVAL_SECONDS, 2 * _DAY_SECONDS]))
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_unavailable", error=type(error).__name__)
                self._redis_unavailable_until = time.monotonic() + RETRY_REDIS_SECONDS
        return 1  # within the day's hundred of this edge, or it would not be asked


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
