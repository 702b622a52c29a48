"""Erasing a tenant: step by step, so that no statement is long and a restart goes on where it was.

The tombstone comes first, in the transaction that heard the wish; from then on nothing is sent and
nothing is stored. `tenant.erased` is recorded in the transaction that finds nothing left.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from chassis.database import TIME, Connection, Pool
from chassis.idempotency import IDEMPOTENCY
from chassis.statements import Statement
from contracts.context import Context
from outbox import dead_letters
from outbox.inbox import ReceivedEvent
from outbox.record import create_lifecycle_entry, record
from outbox.tables import OUTBOX
from sqlalchemy import (
    BindParameter,
    Table,
    bindparam,
    delete,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from webhooks.tables import ATTEMPTS, DELIVERIES, ERASURES, EVENTS, QUEUE, WEBHOOKS

STEP = 2000

_TENANT: BindParameter[str] = bindparam("tenant_id")

REMEMBER = Statement(
    insert(ERASURES)
    .values(
        tenant_id=_TENANT,
        request_id=bindparam("request_id"),
        traceparent=bindparam("traceparent"),
        requested_at=bindparam("now", type_=TIME),
    )
    .on_conflict_do_nothing()
)
DELETE_WEBHOOKS = Statement(delete(WEBHOOKS).where(WEBHOOKS.c.tenant_id == _TENANT))
"""With their secrets; the dispatcher claims nothing that has no webhook."""
# Across tenants: the work list of this service.
OPEN = Statement(
    select(ERASURES.c.tenant_id, ERASURES.c.request_id, ERASURES.c.traceparent)
    .where(ERASURES.c.done_at.is_(None))
    .order_by(ERASURES.c.requested_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
CLOSE = Statement(
    update(ERASURES)
    .where(ERASURES.c.tenant_id == _TENANT)
    .values(done_at=bindparam("now", type_=TIME))
)


def _some(table: Table) -> Statement:
    key = list(table.primary_key.columns)
    where = table.c.tenant_id == _TENANT
    if table is OUTBOX:
        where &= OUTBOX.c.published_at.is_not(None)
    some = select(*key).where(where).limit(literal_column(str(STEP)))
    return Statement(delete(table).where(table.c.tenant_id == _TENANT, tuple_(*key).in_(some)))


STEPS = [_some(each) for each in (QUEUE, ATTEMPTS, DELIVERIES, EVENTS, IDEMPOTENCY, OUTBOX)]


async def begin(conn: Connection, heard: ReceivedEvent) -> None:
    """In the transaction of the event that asks for it."""
    context = heard.context()
    await REMEMBER.execute(
        conn,
        tenant_id=heard.tenant_id,
        request_id=context.request_id,
        traceparent=context.traceparent,
        now=datetime.now(UTC),
    )
    await DELETE_WEBHOOKS.execute(conn, tenant_id=heard.tenant_id)


async def go_on(pool: Pool, recorded: Callable[[], None]) -> None:
    """Every open erasure, to its end. `recorded` is told when one is confirmed."""
    while True:
        async with pool.acquire() as conn, conn.transaction():
            row = await OPEN.fetch_one(conn)
            if row is None:
                return
            if await _step(conn, row["tenant_id"]):
                continue
            await dead_letters.forget(conn, row["tenant_id"])
            context = Context(
                tenant_id=row["tenant_id"],
                request_id=row["request_id"],
                traceparent=row["traceparent"],
            )
            await CLOSE.execute(conn, tenant_id=row["tenant_id"], now=datetime.now(UTC))
            gone = create_lifecycle_entry(
                context, "webhooks", "tenant.erased", row["tenant_id"], {}
            )
            await record(conn, gone)
        recorded()


async def _step(conn: Connection, tenant_id: str) -> bool:
    """Deletes a part of what is left; answers whether there was anything."""
    for statement in STEPS:
        if await statement.run(conn, tenant_id=tenant_id):
            return True
    return False
