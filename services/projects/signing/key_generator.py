"""Generates signing keys in threads of its own, so that nobody waits behind an RSA key.

An RSA key costs 40-200 ms of a core, outside Python's lock. The threads give way to all other work
of the process, and only so much is accepted as can be done before a caller's deadline.
"""

import asyncio
import os
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from contracts.problems import Problem
from contracts.signing_keys import Algorithm

from projects.signing.key_material import KeyMaterial, generate

THREADS = 2
MAX_TOTAL = 12
"""Requests for RSA keys that are being done or wait."""
MAX_PER_TENANT = 2


class KeyGenerator:
    """The threads, and how many requests are in their hands by tenant."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "generate-key", initializer=_give_way)
        self._accepted: Counter[str] = Counter()

    async def generate(self, algorithm: Algorithm, count: int, tenant_id: str) -> list[KeyMaterial]:
        """Raises Problem: 429 when the tenant has enough under way, 503 when all have."""
        if algorithm != "RS256":  # 50 us
            return [generate(algorithm) for _ in range(count)]
        if self._accepted[tenant_id] >= MAX_PER_TENANT:
            raise Problem("rate_limited", "Too many RSA keys at once. Wait for one.", retry_after=1)
        if self._accepted.total() >= MAX_TOTAL:
            raise Problem("service_unavailable", "Too many RSA keys at once.", retry_after=1)
        self._accepted[tenant_id] += 1
        loop = asyncio.get_running_loop()
        job = self._threads.submit(_generate_all, algorithm, count)
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release, tenant_id))
        return await asyncio.wrap_future(job)

    def _release(self, tenant_id: str) -> None:
        """Once the threads are done with it: the caller may have stopped waiting before."""
        self._accepted[tenant_id] -= 1
        self._accepted += Counter()  # forgets tenants that have none


def _generate_all(algorithm: Algorithm, count: int) -> list[KeyMaterial]:
    return [generate(algorithm) for _ in range(count)]


def _give_way() -> None:
    """Linux alone has a priority for each thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


GENERATOR = KeyGenerator()
