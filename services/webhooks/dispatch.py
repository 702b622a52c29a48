"""The dispatcher: claims what is due, sends it, hands the outcomes on; fair to all.

Woken when something was queued and when something comes due; a slow look each second finds what
other replicas left. A slot is free again only when its outcome is written, so a database that is
away loses nothing.
"""

import asyncio
import contextlib
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from asyncpg import Record
from chassis.database import CONFLICTS, UNAVAILABLE, Connection, Pool
from chassis.encryption import Keyring
from chassis.telemetry import DELIVERIES, DELIVERY_WAIT
from contracts.ids import new_id

from webhooks import claims, due, failing, outcomes
from webhooks.breaker import Breaker
from webhooks.delivery import Parcel, Result, attempt
from webhooks.fairness import AGAIN, Lane, Room, allot
from webhooks.outcomes import Outcome
from webhooks.webhooks import sealed_for

log = structlog.get_logger()

SLOTS = 512
"""Attempts under way in this process; a waiting one costs a socket and little else."""
SLOTS_OF_RETRIES = 384
SLOTS_OF_TENANT = 64
TENANTS_AT_ONCE = 64
LANES_AT_ONCE = 16
WAKE_AT_ONCE = 2000
WRITE_AT_ONCE = 256
BARREN_ROUNDS = 64
"""Where all that is due waits for its receiver, looking goes on no further than so."""
IDLE_SECONDS = 1.0
STOP_SECONDS = 4.0


class Dispatcher:
    """One a process. `recorded` is told when it has written an event to the outbox."""

    def __init__(
        self,
        pool: Pool,
        keys: Keyring,
        session: aiohttp.ClientSession,
        *,
        allow_private: bool,
        recorded: Any = lambda: None,
    ) -> None:
        self._pool = pool
        self._keys = keys
        self._session = session
        self._allow_private = allow_private
        self._recorded = recorded
        self._woken = asyncio.Event()
        self._stopping = False
        self._idle = asyncio.Event()
        self._breaker = Breaker()
        self._attempts: dict[asyncio.Task[None], tuple[Record, str]] = {}
        self._ended: asyncio.Queue[Outcome] = asyncio.Queue()
        self._under_way: Counter[str] = Counter()
        self._retries = 0
        self._tenant_after = ""
        self._webhook_after: dict[str, str] = {}
        self._wake_at = 0.0
        self._barren = 0

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled; a database that is away is waited for."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._write())
            both.create_task(self._claim_on())

    async def _claim_on(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                async with self._pool.acquire() as conn:
                    wait = await self._round(conn)
            except (*UNAVAILABLE, *CONFLICTS) as error:
                log.warning("dispatch_waits", error=type(error).__name__)
                wait = IDLE_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), wait)
        self._idle.set()

    async def stop(self) -> None:
        """Takes no more, gives attempts some seconds to end, and the rest back to the queue."""
        self._stopping = True
        self.wake()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), STOP_SECONDS)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=STOP_SECONDS)
        unsent = list(self._attempts.values())
        for task in self._attempts:
            task.cancel()
        with contextlib.suppress(TimeoutError, *UNAVAILABLE):
            async with asyncio.timeout(STOP_SECONDS):
                await self._ended.join()
                if unsent:
                    await self._give_back(unsent)
        await self._session.close()

    async def _give_back(self, unsent: list[tuple[Record, str]]) -> None:
        async with self._pool.acquire() as conn:
            await claims.GIVE_BACK.execute(
                conn,
                tenants=[row["tenant_id"] for row, _ in unsent],
                webhooks=[row["webhook_id"] for row, _ in unsent],
                deliveries=[row["delivery_id"] for row, _ in unsent],
                leases=[lease for _, lease in unsent],
            )

    async def _round(self, conn: Connection) -> float:
        """Claims as much as may be started; answers how long there is nothing to do."""
        now = time.monotonic()
        if now >= self._wake_at:
            await claims.WAKE.execute(conn, limit=WAKE_AT_ONCE)
            wait = await claims.NEXT_WAKE.fetch_value(conn)
            wait = IDLE_SECONDS if wait is None else min(max(wait, 0.0), IDLE_SECONDS)
            self._wake_at = now + wait
        free = SLOTS - self._under_way.total()
        if free <= 0:
            return IDLE_SECONDS
        async with conn.transaction():
            lanes, more = await self._lanes(conn, now)
            room = Room(
                slots=min(free, claims.AT_ONCE),
                again=SLOTS_OF_RETRIES - self._retries,
                tenant=SLOTS_OF_TENANT,
                under_way=dict(self._under_way),
            )
            wishes = allot(lanes, room)
            lease = new_id("lease")
            claimed = await claims.claim(conn, wishes, lease) if wishes else []
        self._start(claimed, lease)
        self._barren = 0 if wishes else self._barren + 1
        if wishes or (more and self._barren < BARREN_ROUNDS):
            return 0.0
        return max(0.0, self._wake_at - time.monotonic())

    async def _lanes(self, conn: Connection, now: float) -> tuple[list[Lane], bool]:
        """The next webhooks with something due, and whether there are others beyond these."""
        found = await due.TENANTS.fetch_all(conn, after=self._tenant_after, limit=TENANTS_AT_ONCE)
        tenants = [row["tenant_id"] for row in found]
        started_at_first = not self._tenant_after
        whole = len(tenants) < TENANTS_AT_ONCE
        self._tenant_after = "" if whole else tenants[-1]
        if not tenants:
            return [], not started_at_first
        await due.TAKE_TURN.fetch_one(conn)
        afters = [self._webhook_after.pop(tenant, "") for tenant in tenants]
        rows = await due.LANES.fetch_all(conn, tenants=tenants, afters=afters, each=LANES_AT_ONCE)
        seen = Counter(row["tenant_id"] for row in rows)
        wide = {tenant for tenant, count in seen.items() if count == LANES_AT_ONCE}
        self._webhook_after |= {
            row["tenant_id"]: row["webhook_id"] for row in rows if row["tenant_id"] in wide
        }
        lanes = [self._lane(row, now) for row in rows if row["status"] == "active"]
        return lanes, not (whole and started_at_first) or bool(wide) or any(afters)

    def _lane(self, row: Record, now: float) -> Lane:
        left = due.IN_FLIGHT - row["leased"]
        room = self._breaker.room(_receiver(row), now, due.IN_FLIGHT)
        return Lane(
            row["tenant_id"],
            row["webhook_id"],
            due=[row["by_hand"], row["first"], row["again"]],
            room=min(left, room),
            by_hand=left,
        )

    def _start(self, rows: list[Record], lease: str) -> None:
        for row in rows:
            self._under_way[row["tenant_id"]] += 1
            self._retries += row["kind"] == AGAIN
            self._breaker.started(_receiver(row))
            task = asyncio.create_task(self._send(row, lease))
            self._attempts[task] = (row, lease)
            task.add_done_callback(lambda done: self._attempts.pop(done, None))

    async def _send(self, row: Record, lease: str) -> None:
        try:
            associated_data = sealed_for(row["webhook_id"])
            parcel = Parcel(
                row["url"],
                row["event_id"],
                row["payload"].encode(),
                [self._keys.open(sealed, associated_data) for sealed in row["secrets"]],
            )
            result = await attempt(self._session, parcel, allow_private=self._allow_private)
        except Exception:
            log.exception("attempt_broke", delivery_id=row["delivery_id"])
            error = "The attempt could not be made; the fault is on our side."
            result = Result(at=datetime.now(UTC), outcome="broke", error=error)
        self._breaker.ended(_receiver(row), time.monotonic(), result.succeeded)
        DELIVERIES.labels(result.outcome).inc()
        DELIVERY_WAIT.observe(row["waited"])
        self._ended.put_nowait(Outcome(row, lease, result))

    async def _write(self) -> None:
        """Outcomes in batches: what comes in while one is written is the next."""
        while True:
            batch = [await self._ended.get()]
            while len(batch) < WRITE_AT_ONCE and not self._ended.empty():
                batch.append(self._ended.get_nowait())
            while not await self._written(batch):  # noqa: ASYNC110 - until it is back
                await asyncio.sleep(IDLE_SECONDS / 4)
            for each in batch:
                self._free(each.claimed)
                each.log()
                self._ended.task_done()
            self.wake()

    async def _written(self, batch: list[Outcome]) -> bool:
        try:
            now = datetime.now(UTC)
            await outcomes.write(self._pool, batch, now)
            await failing.note(self._pool, batch, now, self._recorded)
        except (*UNAVAILABLE, *CONFLICTS) as error:
            log.warning("outcomes_wait", error=type(error).__name__, outcomes=len(batch))
            return False
        return True

    def _free(self, row: Record) -> None:
        self._under_way[row["tenant_id"]] -= 1
        if not self._under_way[row["tenant_id"]]:
            del self._under_way[row["tenant_id"]]
        self._retries -= row["kind"] == AGAIN


def _receiver(row: Record) -> str:
    """What the breaker knows a receiver by: a webhook that was changed begins anew."""
    return f"{row['webhook_id']}.{row['version']}"
