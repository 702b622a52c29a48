"""The end of a tenant that every other service has erased: some rows at a time, itself at last."""

from chassis.database import Connection
from chassis.idempotency import IDEMPOTENCY
from chassis.statements import PLAN_FOR_ANY_TENANT, Statement
from contracts.context import Context
from contracts.tenants import TenantDeleted
from outbox.cascade import BATCH, Cascade, request_cascade
from outbox.record import create_entry, record
from outbox.tables import OUTBOX
from outbox.tenant_erasure import delete_some
from sqlalchemy import bindparam, delete

from projects.cascades import CASCADES, TENANT
from projects.tables import API_KEYS, PROJECTS, REFUSALS, SIGNING_KEYS, TENANTS

# First the other cascades, so that nothing is recorded of what is deleted here.
PARTS = [
    delete_some(CASCADES, CASCADES.c.kind != TENANT),
    *(
        delete_some(table)
        for table in (REFUSALS, API_KEYS, SIGNING_KEYS, PROJECTS, IDEMPOTENCY, OUTBOX)
    ),
]
DELETE = Statement(delete(TENANTS).where(TENANTS.c.id == bindparam("tenant_id")))


async def erase_tenant(conn: Connection, context: Context) -> None:
    """A batch of what the tenant has, and if there is no more the tenant, with its event."""
    await PLAN_FOR_ANY_TENANT.execute(conn)
    if await _erase_some(conn, context, BATCH):
        await request_cascade(conn, context, TENANT, context.tenant())


async def erase_more(conn: Connection, context: Context, _: Cascade, at_most: int) -> bool:
    """A step: see `outbox.cascade`."""
    return await _erase_some(conn, context, at_most)


async def _erase_some(conn: Connection, context: Context, at_most: int) -> bool:
    tenant_id = context.tenant()
    for part in PARTS:
        at_most -= await part.execute(conn, tenant_id=tenant_id, at_most=at_most)
        if at_most <= 0:
            return True
    if await DELETE.execute(conn, tenant_id=tenant_id):
        data = {"tenant_id": tenant_id}
        await record(conn, [create_entry(context, TenantDeleted, tenant_id, data)])
    return False
