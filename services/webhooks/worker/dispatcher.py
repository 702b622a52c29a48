"""The dispatcher: claims ready deliveries, sends them and writes the results; fair to all tenants.

It wakes when something is enqueued and when a retry becomes due; each second, or while all is idle
each eight, it looks for what other replicas left. An attempt counts as in flight until its result
is written, so nothing is lost while the database is away.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import structlog
from chassis.database import CONFLICTS, UNAVAILABLE, Connection, Pool
from chassis.encryption import Keyring
from chassis.telemetry import DELIVERIES, DELIVERY_WAIT
from outbox.pace import Pace

from webhooks.endpoints.secrets import secret_id
from webhooks.queue.claim import MAX_CLAIMED, claim, release, wake
from webhooks.queue.leased import LeasedDelivery
from webhooks.queue.ready import ReadyWebhook, ReadyWebhooks
from webhooks.rules.circuit_breaker import CircuitBreaker
from webhooks.rules.fairness import RETRY, Capacity, Shares, WebhookQueue, share_capacity
from webhooks.rules.window import WEBHOOK_LIMIT, WIDEST, Windows
from webhooks.worker.attempt import AttemptResult, send
from webhooks.worker.auto_disable import update_webhooks
from webhooks.worker.http_client import HttpClient
from webhooks.worker.request import WebhookRequest
from webhooks.worker.results import FinishedAttempt, write_results

log = structlog.get_logger()

PROCESS_LIMIT = 1024
"""Attempts in flight in this process; one that waits costs a socket and little else."""
RETRY_LIMIT = 384
RESERVED = 768
"""For tenants and webhooks with no more in flight than TENANT_LIMIT and WEBHOOK_LIMIT."""
TENANT_LIMIT = 96
MOST_OF_TENANT = 192
RESERVED_OF_TENANT = 152
"""For webhooks with no more in flight than WEBHOOK_LIMIT."""
FEW_WEBHOOKS = 16
"""Where no more have something ready, it is worth looking at more of each."""
DIRECT_LIMIT = 128
"""Besides, of those that are leased as they are queued."""
DIRECT_TENANT_LIMIT = 32
WRITE_AT_ONCE = 256
ROUND_SECONDS = 0.01
"""For each claim and for each write of results under load: see `Pace`."""
MAX_EMPTY_ROUNDS = 64
"""Where circuit breakers hold back all that is ready, the search pauses after so many rounds."""
IDLE_SECONDS = 1.0
MOST_IDLE_SECONDS = 8.0
"""So long a pause becomes while nothing is ready."""
STOP_SECONDS = 4.0


class Dispatcher:
    """One in each process. `on_recorded` is called when it has written an event to the outbox."""

    def __init__(
        self,
        pool: Pool,
        keyring: Keyring,
        client: HttpClient,
        *,
        allow_private: bool,
        on_recorded: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._client = client
        self._allow_private = allow_private
        self._on_recorded = on_recorded
        self._woken = asyncio.Event()
        self._stopping = False
        self._stopped_claiming = asyncio.Event()
        self._breaker = CircuitBreaker()
        self._windows = Windows()
        self._claims, self._writes = Pace(ROUND_SECONDS), Pace(ROUND_SECONDS)
        self._at_most = WIDEST
        self._ready = ReadyWebhooks()
        self._attempts: dict[asyncio.Task[None], LeasedDelivery] = {}
        self._finished: asyncio.Queue[FinishedAttempt] = asyncio.Queue()
        self._in_flight: Counter[str] = Counter()
        self._direct: Counter[str] = Counter()
        self._retries_in_flight = 0
        self._wake_at = 0.0
        self._idle = IDLE_SECONDS
        self._empty_rounds = 0

    def wake(self) -> None:
        """Something may be ready."""
        self._woken.set()

    def free(self, tenants: Collection[str]) -> dict[str, int]:
        """How many deliveries of each tenant may be leased to be sent directly."""
        left = 0 if self._stopping else DIRECT_LIMIT - self._direct.total()
        each = left // max(1, len(tenants))
        return {
            tenant: max(0, min(each, DIRECT_TENANT_LIMIT - self._direct[tenant]))
            for tenant in tenants
        }

    def start(self, deliveries: Sequence[LeasedDelivery]) -> None:
        """Sends what is leased to this process."""
        for delivery in deliveries:
            self._counter_of(delivery)[delivery.tenant_id] += 1
            self._retries_in_flight += delivery.kind == RETRY
            self._breaker.record_start(_receiver(delivery))
            task = asyncio.create_task(self._attempt(delivery))
            self._attempts[task] = delivery
            task.add_done_callback(lambda done: self._attempts.pop(done, None))

    async def run(self) -> None:
        """Runs until cancelled; waits for a database that is away."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._claim())

    async def stop(self) -> None:
        """Claims no more, gives attempts some seconds to end, and releases those that do not."""
        self._stopping = True
        self.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._stopped_claiming.wait()
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=STOP_SECONDS)
        unsent = list(self._attempts.values())
        for task in self._attempts:
            task.cancel()
        with contextlib.suppress(TimeoutError, *UNAVAILABLE):
            async with asyncio.timeout(STOP_SECONDS):
                await self._finished.join()
                if unsent:
                    async with self._pool.acquire() as conn:
                        await release(conn, unsent)
        self._client.close()

    async def _claim(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                async with self._pool.acquire() as conn:
                    wait = await self._claim_round(conn)
            except (*UNAVAILABLE, *CONFLICTS) as error:
                log.warning("dispatch_waits", error=type(error).__name__)
                wait = IDLE_SECONDS
            await asyncio.sleep(self._claims.pause())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()
        self._stopped_claiming.set()

    async def _claim_round(self, conn: Connection) -> float:
        """Claims as many as may start; returns for how many seconds there is nothing to do."""
        now = time.monotonic()
        if now >= self._wake_at:
            seconds = await wake(conn)
            wait = self._idle if seconds is None else min(max(seconds, 0.0), self._idle)
            self._wake_at = now + wait
        free = PROCESS_LIMIT - self._in_flight.total()
        if free <= 0:
            return IDLE_SECONDS
        tenants, more = await self._ready.next_tenants(conn)
        self._idle = IDLE_SECONDS if tenants else min(self._idle * 2, MOST_IDLE_SECONDS)
        shares: Shares = {}
        if tenants:
            async with conn.transaction():
                webhooks, more_of_these = await self._ready.lock(conn, tenants, self._at_most)
                self._at_most = WIDEST if len(webhooks) <= FEW_WEBHOOKS else WEBHOOK_LIMIT
                total = min(free, MAX_CLAIMED)
                capacity = Capacity(
                    total=total,
                    retries=RETRY_LIMIT - self._retries_in_flight,
                    per_tenant=MOST_OF_TENANT,
                    usual_of_tenant=TENANT_LIMIT,
                    in_flight=self._in_flight,
                    reserved=RESERVED - (free - total),
                    reserved_of_tenant=RESERVED_OF_TENANT,
                )
                shares = share_capacity([self._queue(each, now) for each in webhooks], capacity)
                claimed = await claim(conn, shares) if shares else []
            self.start(claimed)
            more = more or more_of_these
        self._empty_rounds = 0 if shares else self._empty_rounds + 1
        if shares or (more and self._empty_rounds < MAX_EMPTY_ROUNDS):
            return 0.0
        return max(0.0, self._wake_at - time.monotonic())

    def _queue(self, webhook: ReadyWebhook, now: float) -> WebhookQueue:
        receiver = _receiver(webhook)
        limit = self._windows.size(receiver)
        left = limit - webhook.leased
        capacity = min(left, self._breaker.capacity(receiver, now, limit))
        return WebhookQueue(
            webhook.tenant_id,
            webhook.webhook_id,
            ready=[webhook.manual, webhook.first, webhook.retry],
            capacity=capacity,
            manual_capacity=left,
            beyond=min(capacity, limit - WEBHOOK_LIMIT),
        )

    async def _attempt(self, delivery: LeasedDelivery) -> None:
        try:
            secret = secret_id(delivery.tenant_id, delivery.webhook_id)
            secrets = [self._keyring.decrypt(each, secret) for each in delivery.secrets]
            request = WebhookRequest(
                delivery.webhook_id,
                delivery.url,
                delivery.content_type,
                delivery.event_id,
                delivery.payload.encode(),
                secrets,
            )
            result = await send(self._client, request, allow_private=self._allow_private)
        except Exception:
            log.exception("attempt_broke", delivery_id=delivery.delivery_id)
            error = "The attempt could not be made; the fault is on our side."
            result = AttemptResult(at=datetime.now(UTC), outcome="broke", error=error)
        receiver = _receiver(delivery)
        pause = self._breaker.record_result(receiver, time.monotonic(), result.succeeded)
        seconds = result.duration_ms / 1000
        self._windows.record_result(receiver, seconds, succeeded=result.succeeded)
        DELIVERIES.labels(result.outcome).inc()
        DELIVERY_WAIT.observe(delivery.waited)
        self._finished.put_nowait(FinishedAttempt(delivery, result, pause))

    async def _write(self) -> None:
        """Writes results in batches: those that arrive while one is written are the next one."""
        while True:
            batch = [await self._finished.get()]
            while len(batch) < WRITE_AT_ONCE and not self._finished.empty():
                batch.append(self._finished.get_nowait())
            while not await self._write_batch(batch):  # noqa: ASYNC110 - until it is back
                await asyncio.sleep(IDLE_SECONDS / 4)
            for each in batch:
                self._end(each.delivery)
                each.log()
                self._finished.task_done()
            if not all(each.result.succeeded for each in batch):
                self._wake_at = 0.0  # what was requeued may be the next to become due
            self.wake()
            await asyncio.sleep(self._writes.pause())

    async def _write_batch(self, batch: list[FinishedAttempt]) -> bool:
        try:
            now = datetime.now(UTC)
            await write_results(self._pool, batch, now)
            await update_webhooks(self._pool, batch, now, self._on_recorded)
        except (*UNAVAILABLE, *CONFLICTS) as error:
            log.warning("outcomes_wait", error=type(error).__name__, outcomes=len(batch))
            return False
        return True

    def _end(self, delivery: LeasedDelivery) -> None:
        in_flight = self._counter_of(delivery)
        in_flight[delivery.tenant_id] -= 1
        if not in_flight[delivery.tenant_id]:
            del in_flight[delivery.tenant_id]
        self._retries_in_flight -= delivery.kind == RETRY

    def _counter_of(self, delivery: LeasedDelivery) -> Counter[str]:
        return self._direct if delivery.is_direct else self._in_flight


def _receiver(webhook: ReadyWebhook | LeasedDelivery) -> str:
    """The name of a receiver for the circuit breaker: it begins anew when its webhook changes."""
    return f"{webhook.webhook_id}.{webhook.version}"
