"""Erasing a tenant: some rows at a time, so that neither its size nor a restart keeps it alive.

`tenant.erased` is recorded in the transaction that finds nothing left.
"""

from datetime import UTC, datetime

from chassis.database import Connection, Pool
from chassis.idempotency import IDEMPOTENCY
from chassis.statements import Statement, parameters
from contracts.context import Context
from outbox import dead_letters
from outbox.inbox import ReceivedEvent
from outbox.record import create_lifecycle_entry, record
from outbox.tables import OUTBOX
from sqlalchemy import Table, bindparam, delete, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from identity.tables import (
    ERASURES,
    INVITATIONS,
    MEMBERS,
    ORGANIZATIONS,
    SESSIONS,
    TALLIES,
    USERS,
)

STEP = 5000

REMEMBER = Statement(insert(ERASURES).values(parameters(ERASURES.c)).on_conflict_do_nothing())
# Of no tenant: the next one whose turn it is, past those that another replica works on.
NEXT = Statement(
    select(*ERASURES.c).order_by(ERASURES.c.requested_at).limit(1).with_for_update(skip_locked=True)
)
DONE = Statement(delete(ERASURES).where(ERASURES.c.tenant_id == bindparam("tenant_id")))


def _some(table: Table) -> Statement:
    key = list(table.primary_key.columns)
    mine = table.c.tenant_id == bindparam("tenant_id")
    if table is OUTBOX:
        mine &= OUTBOX.c.published_at.is_not(None)
    some = select(*key).where(mine).limit(literal_column(str(STEP)))
    return Statement(delete(table).where(mine, tuple_(*key).in_(some)))


# Invitations first: nobody comes in any more. What belongs to another goes before it.
STEPS = [
    _some(each)
    for each in (
        *(INVITATIONS, SESSIONS, MEMBERS, ORGANIZATIONS, USERS),
        *(TALLIES, IDEMPOTENCY, OUTBOX),
    )
]


async def begin(conn: Connection, heard: ReceivedEvent) -> None:
    """In the transaction of the event that asks for it."""
    context = heard.context()
    await REMEMBER.execute(
        conn,
        tenant_id=heard.tenant_id,
        request_id=context.request_id,
        traceparent=context.traceparent,
        requested_at=datetime.now(UTC),
    )


async def erase_next(pool: Pool) -> bool:
    """One step of the oldest erasure; answers whether there was anything to do."""
    async with pool.acquire() as conn, conn.transaction():
        row = await NEXT.fetch_one(conn)
        if row is None:
            return False
        tenant_id = row["tenant_id"]
        for statement in STEPS:
            if await statement.run(conn, tenant_id=tenant_id):
                return True
        await dead_letters.forget(conn, tenant_id)
        await DONE.execute(conn, tenant_id=tenant_id)
        context = Context(
            tenant_id=tenant_id, request_id=row["request_id"], traceparent=row["traceparent"]
        )
        await record(
            conn, create_lifecycle_entry(context, "identity", "tenant.erased", tenant_id, {})
        )
    return True
