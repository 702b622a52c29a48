"""What projects hears: that a service has erased its part of a tenant that is being deleted."""

from collections.abc import Sequence

from chassis.database import Connection
from chassis.idempotency import IDEMPOTENCY
from chassis.statements import Statement
from contracts.tenants import TenantDeleted
from outbox.inbox import ReceivedEvent
from outbox.record import create_entry, record
from outbox.tables import OUTBOX
from sqlalchemy import Text, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from projects.tables import ERASURES, TENANTS

ERASING = ("audit", "identity", "webhooks")

LOCK = Statement(
    select(TENANTS.c.id)
    .where(TENANTS.c.id == bindparam("id"), TENANTS.c.status == "deleting")
    .with_for_update()
)
CONFIRM = Statement(
    insert(ERASURES)
    .values(
        tenant_id=bindparam("tenant_id"),
        service=bindparam("service", type_=Text),
        confirmed_at=func.now(),
    )
    .on_conflict_do_nothing()
)
CONFIRMED = Statement(
    select(func.count()).select_from(ERASURES).where(ERASURES.c.tenant_id == bindparam("tenant_id"))
)
# What a tenant owns goes with its row; stored answers and what was recorded refer to none.
ERASE = [
    Statement(delete(TENANTS).where(TENANTS.c.id == bindparam("tenant_id"))),
    *(
        Statement(delete(table).where(table.c.tenant_id == bindparam("tenant_id")))
        for table in (IDEMPOTENCY, OUTBOX)
    ),
]


async def take(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Notes each confirmation; with the last one the tenant and all that it has here is gone."""
    for heard in events:
        if heard.type == "tenant.erased":
            await _confirmed(conn, heard)


async def _confirmed(conn: Connection, heard: ReceivedEvent) -> None:
    tenant_id, service = heard.tenant_id, heard.event["source"].rsplit("/", 1)[-1]
    if await LOCK.fetch_value(conn, id=tenant_id) is None or service not in ERASING:
        return
    await CONFIRM.execute(conn, tenant_id=tenant_id, service=service)
    if await CONFIRMED.fetch_value(conn, tenant_id=tenant_id) < len(ERASING):
        return
    for statement in ERASE:
        await statement.run(conn, tenant_id=tenant_id)
    gone = {"tenant_id": tenant_id}
    await record(conn, create_entry(heard.context(), TenantDeleted, tenant_id, gone))
