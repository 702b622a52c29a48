"""Deliveries of tenants with many webhooks, created in steps of bounded size; tenants take turns.

One replica does a step at a time, so that the events of a tenant keep their order. A step goes on
where the one before ended, in the middle of an event if it has very many webhooks.
"""

import asyncio
import contextlib
from collections.abc import Callable

import asyncpg
import structlog
from chassis.database import CONFLICTS, UNAVAILABLE, Connection, Pool
from chassis.statements import Statement
from contracts.topology import Lock
from sqlalchemy import (
    Float,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
    update,
)

from webhooks.queue.enqueue import QUEUE_SOURCE, create_deliveries, enqueue, new_delivery
from webhooks.queue.event_filter import wants
from webhooks.rules.fairness import FIRST
from webhooks.tables import EVENTS, FANOUTS, WEBHOOKS

log = structlog.get_logger()

MAX_DELIVERIES = 1000
"""Of one step."""
EVENTS_AT_ONCE = 64
"""Of one step."""
STEP_SECONDS = 4.0
POLL_SECONDS = 1.0
IDLE_SECONDS = 8.0
"""So long a poll becomes while there is nothing to do; each commit of this process wakes it."""
PAUSE_SECONDS = 0.2

LOCK_FAN_OUT = Statement(
    select(func.pg_try_advisory_xact_lock(literal_column(str(int(Lock.FAN_OUT)))))
)
GET_NEXT_TENANT = Statement(
    select(FANOUTS.c.tenant_id)
    .where(FANOUTS.c.tenant_id > bindparam("after"))
    .order_by(FANOUTS.c.tenant_id)
    .limit(literal_column("1"))
)
GET_OLDEST_SECONDS = Statement(
    select(
        func.coalesce(
            func.extract("epoch", func.clock_timestamp() - func.min(FANOUTS.c.queued_at)), 0
        ).cast(Float)
    )
)

_MINE = FANOUTS.c.tenant_id == bindparam("tenant_id")
_todo = (
    select(FANOUTS)
    .where(_MINE)
    .order_by(FANOUTS.c.position)
    .limit(literal_column(str(EVENTS_AT_ONCE)))
    .cte("todo")
)
_next = (
    select(_todo.c.position, *new_delivery(EVENTS.c, WEBHOOKS.c.id, EVENTS.c.created_at))
    .select_from(_todo)
    .join(
        EVENTS,
        (EVENTS.c.tenant_id == _todo.c.tenant_id)
        & (EVENTS.c.id == _todo.c.event_id)
        & (EVENTS.c.created_at == _todo.c.created_at),
    )
    .join(
        WEBHOOKS,
        (WEBHOOKS.c.tenant_id == _todo.c.tenant_id) & (WEBHOOKS.c.id > _todo.c.after_webhook_id),
    )
    .where(WEBHOOKS.c.status == "active", wants(WEBHOOKS.c, EVENTS.c.type, EVENTS.c.actor_id))
    .order_by(_todo.c.position, WEBHOOKS.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(of=WEBHOOKS, read=True, key_share=True)
    .cte("next")
)
# The last one, if there may be more: from there the next step goes on.
_last = (
    select(_next.c.position, _next.c.webhook_id)
    .order_by(_next.c.position.desc(), _next.c.webhook_id.desc())
    .limit(literal_column("1"))
    .where(select(func.count()).select_from(_next).scalar_subquery() == bindparam("at_most"))
    .cte("last")
)
_done = (
    delete(FANOUTS)
    .where(
        _MINE,
        FANOUTS.c.position.in_(select(_todo.c.position)),
        ~exists().where(_last.c.position <= FANOUTS.c.position),
    )
    .cte("done")
)
_resumed = (
    update(FANOUTS)
    .where(_MINE, FANOUTS.c.position == _last.c.position)
    .values(after_webhook_id=_last.c.webhook_id)
    .cte("resumed")
)
_created = (
    create_deliveries(select(*(each for each in _next.c if each.name != "position")))
    .on_conflict_do_nothing()
    .returning(*QUEUE_SOURCE)
    .cte("created")
)
FAN_OUT_STEP = Statement(enqueue(_created, FIRST).add_cte(_done, _resumed))


class FanOut:
    """A step that takes too long is made smaller, and costs its tenant the turn; the size grows
    again with success. `on_queued` is called after each step.
    """

    def __init__(self, pool: Pool, on_queued: Callable[[], None]) -> None:
        self._pool = pool
        self._on_queued = on_queued
        self._size = MAX_DELIVERIES
        self._after = ""
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be events to fan out."""
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        poll = POLL_SECONDS
        while True:
            self._woken.clear()
            try:
                more = await self.step()
            except (*UNAVAILABLE, *CONFLICTS) as error:
                log.warning("fan_out_interrupted", error=type(error).__name__, size=self._size)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            poll = POLL_SECONDS if more else min(poll * 2, IDLE_SECONDS)
            if not more:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(poll):
                        await self._woken.wait()

    async def step(self) -> bool:
        """One transaction, for the next tenant. Returns whether there may be more to do."""
        async with self._pool.acquire() as conn:
            try:
                async with asyncio.timeout(STEP_SECONDS), conn.transaction():
                    if not await LOCK_FAN_OUT.fetch_value(conn):
                        return False  # another replica does it
                    tenant = await self._next_tenant(conn)
                    if tenant is None:
                        return False
                    await FAN_OUT_STEP.execute(conn, tenant_id=tenant, at_most=self._size)
            except (TimeoutError, asyncpg.QueryCanceledError):
                self._size = max(1, self._size // 2)
                raise
        self._size = min(MAX_DELIVERIES, self._size + self._size // 8 + 1)
        self._on_queued()
        return True

    async def oldest_seconds(self) -> float:
        """How long the oldest event waits; 0 when there is none."""
        return float(await GET_OLDEST_SECONDS.fetch_value(self._pool))

    async def _next_tenant(self, conn: Connection) -> str | None:
        tenant: str | None = await GET_NEXT_TENANT.fetch_value(conn, after=self._after)
        if tenant is None and self._after:
            tenant = await GET_NEXT_TENANT.fetch_value(conn, after="")
        self._after = tenant or ""
        return tenant
