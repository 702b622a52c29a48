"""What depends on something that was deleted, suspended or revoked ends in bounded steps.

The transaction of the change makes it visible to every reader, ends one batch of what depends on
it, and leaves a row here if there is more. Each step is one transaction with its events; the last
one deletes the row. Tenants take turns, one process works on a row at a time, and nobody waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import asyncpg
import structlog
from chassis.database import ID, Connection, Pool
from chassis.rpc.client import decode_context, encode_context
from chassis.statements import PLAN_FOR_ANY_TENANT, Statement
from contracts.context import Context
from sqlalchemy import Text, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel

from outbox.tables import CASCADES

log = structlog.get_logger()

BATCH = 500
"""Rows in one transaction, each with an event: others wait no longer for what it has locked."""
STEP_SECONDS = 4.0
"""How often a service looks for cascades."""


class Cascade(SQLModel):
    """What a step works on. `resource_id` was deleted, suspended or revoked; `kind`, `detail` and
    `last_id` are as the service that requested it says, `context` is the request that demanded it.
    """

    tenant_id: str
    kind: str
    resource_id: str
    detail: str | None
    last_id: str | None
    context: str
    requested_at: datetime


Step = Callable[[Connection, Context, Cascade, int], Awaitable[bool]]
"""Ends at most so many rows, with their events; returns whether there may be more."""

_new = insert(CASCADES).values(
    tenant_id=bindparam("tenant_id"),
    kind=bindparam("kind", type_=ID),
    resource_id=bindparam("resource_id", type_=ID),
    detail=bindparam("detail", type_=Text),
    last_id=bindparam("last_id", type_=ID),
    context=bindparam("context", type_=Text),
)
# Locks the row that is there: a step that has found nothing more to do does not delete it.
REQUEST = Statement(
    _new.on_conflict_do_update(
        index_elements=list(CASCADES.primary_key),
        set_={
            "detail": _new.excluded.detail,
            "last_id": func.greatest(CASCADES.c.last_id, _new.excluded.last_id),
            "context": _new.excluded.context,
        },
    )
)
# Across tenants: the next tenant's oldest one that no other process works on.
TAKE = Statement(
    select(*CASCADES.c)
    .where(CASCADES.c.tenant_id > bindparam("after"))
    .order_by(CASCADES.c.tenant_id, CASCADES.c.requested_at)
    .limit(1)
    .with_for_update(skip_locked=True),
    Cascade,
)
DELETE = Statement(
    delete(CASCADES).where(
        CASCADES.c.tenant_id == bindparam("tenant_id"),
        CASCADES.c.kind == bindparam("kind"),
        CASCADES.c.resource_id == bindparam("resource_id"),
    )
)


async def request_cascade(
    conn: Connection,
    context: Context,
    kind: str,
    resource_id: str,
    *,
    detail: str | None = None,
    last_id: str | None = None,
) -> None:
    """In the transaction of the change: the steps of `kind` are done afterwards."""
    await REQUEST.execute(
        conn,
        tenant_id=context.tenant(),
        kind=kind,
        resource_id=resource_id,
        detail=detail,
        last_id=last_id,
        context=encode_context(context),
    )


class Cascades:
    """The cascades of one service: `steps` has the step of each kind. A step that takes too long is
    made smaller and costs its tenant the turn. `on_recorded` is called after each step.
    """

    def __init__(
        self, pool: Pool, steps: Mapping[str, Step], on_recorded: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._steps = steps
        self._on_recorded = on_recorded
        self._size = BATCH
        self._after = ""

    async def run(self) -> None:
        """Does steps until none is left. After an error the next run goes on with other tenants."""
        while await self.step():
            self._on_recorded()

    async def step(self) -> bool:
        """One transaction, for the next tenant; returns whether there was anything to do."""
        try:
            async with (
                self._pool.acquire() as conn,
                asyncio.timeout(STEP_SECONDS),
                conn.transaction(),
            ):
                cascade = await self._take(conn)
                if cascade is None:
                    return False
                await PLAN_FOR_ANY_TENANT.execute(conn)
                step = self._steps[cascade.kind]
                if not await step(conn, decode_context(cascade.context), cascade, self._size):
                    await DELETE.execute(conn, **_key(cascade))
        except (TimeoutError, asyncpg.QueryCanceledError):
            self._size = max(1, self._size // 2)
            log.warning("cascade_too_slow", size=self._size)
            raise
        self._size = min(BATCH, self._size + self._size // 8 + 1)
        return True

    async def _take(self, conn: Connection) -> Cascade | None:
        cascade = await TAKE.fetch_one(conn, after=self._after)
        if cascade is None and self._after:
            cascade = await TAKE.fetch_one(conn, after="")
        self._after = "" if cascade is None else cascade.tenant_id
        return cascade


def _key(cascade: Cascade) -> dict[str, str]:
    return {
        "tenant_id": cascade.tenant_id,
        "kind": cascade.kind,
        "resource_id": cascade.resource_id,
    }
