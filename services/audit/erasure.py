"""Erasing a tenant: closed at once, erased step by step, and told when nothing is left.

A step is a transaction of its own, so that neither the size of a log nor the death of a process
keeps a tenant from being erased. The head stays as the tombstone.
"""

from datetime import datetime

from chassis.database import Connection, Pool
from chassis.statements import Statement, parameters
from contracts.context import Context
from outbox import dead_letters
from outbox.record import create_lifecycle_entry, record
from sqlalchemy import bindparam, delete, func, null, select, update
from sqlalchemy.dialects.postgresql import insert

from audit.tables import COUNTERS, ERASURES, FORGOTTEN, HEADS

STEP_EVENTS = 20_000

CLOSE = Statement(
    update(HEADS)
    .where(HEADS.c.tenant_id == bindparam("tenant_id"))
    .values(closed_at=bindparam("now", type_=HEADS.c.closed_at.type))
)
QUEUE = Statement(insert(ERASURES).values(parameters(ERASURES.c)).on_conflict_do_nothing())
# Of no tenant: the next one whose turn it is, past those that another replica works on.
NEXT = Statement(
    select(*ERASURES.c).order_by(ERASURES.c.requested_at).limit(1).with_for_update(skip_locked=True)
)
ERASE_EVENTS = Statement(select(func.erase_events(bindparam("tenant_id"), bindparam("at_most"))))
CLEAR = [
    Statement(delete(each).where(each.c.tenant_id == bindparam("tenant_id")))
    for each in (COUNTERS, FORGOTTEN, ERASURES)
]
BURY = Statement(
    update(HEADS)
    .where(HEADS.c.tenant_id == bindparam("tenant_id"))
    .values(sequence=0, digest=null(), filed_at=null())
)


async def close(conn: Connection, context: Context, tenant_id: str, now: datetime) -> None:
    """From now on the tenant's log takes nothing in. The caller holds the head's lock.

    Asked again when all is done, there is nothing to erase, and it is told again.
    """
    await CLOSE.execute(conn, tenant_id=tenant_id, now=now)
    await QUEUE.execute(
        conn,
        tenant_id=tenant_id,
        request_id=context.request_id,
        traceparent=context.traceparent,
        requested_at=now,
    )


async def erase_next(pool: Pool) -> bool:
    """One step of the oldest erasure; answers whether there was anything to do."""
    async with pool.acquire() as conn, conn.transaction():
        row = await NEXT.fetch_one(conn)
        if row is None:
            return False
        tenant_id = row["tenant_id"]
        if await ERASE_EVENTS.fetch_value(conn, tenant_id=tenant_id, at_most=STEP_EVENTS):
            return True
        for statement in CLEAR:
            await statement.run(conn, tenant_id=tenant_id)
        await BURY.execute(conn, tenant_id=tenant_id)
        await dead_letters.forget(conn, tenant_id)
        context = Context(
            tenant_id=tenant_id, request_id=row["request_id"], traceparent=row["traceparent"]
        )
        await record(conn, create_lifecycle_entry(context, "audit", "tenant.erased", tenant_id, {}))
    return True
