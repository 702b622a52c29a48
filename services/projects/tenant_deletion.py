"""How far the deletion of a tenant is: which services have confirmed that nothing is left of it."""

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.problems import not_found
from contracts.topology import ERASING_SERVICES
from sqlalchemy import bindparam, select

from projects.tables import ERASURES, ErasureRow
from projects.tenants import CRUD

LIST_ERASURES = Statement(
    select(ERASURES.c.service, ERASURES.c.confirmed_at).where(
        ERASURES.c.tenant_id == bindparam("tenant_id")
    ),
    ErasureRow,
)


@read_only()
async def get_tenant_deletion(conn: Connection, request: Request) -> Reply:
    """404 for a tenant that is not being deleted, and once it is gone."""
    tenant = await CRUD.get(conn, id=request.path["id"])
    if tenant.status != "deleting":
        raise not_found()
    rows = await LIST_ERASURES.fetch_all(conn, tenant_id=tenant.id)
    confirmed = {row.service: row.confirmed_at for row in rows}
    services = {
        name: {
            "status": "erased" if name in confirmed else "erasing",
            "confirmed_at": confirmed.get(name),
        }
        for name in sorted(ERASING_SERVICES)
    }
    # Nothing changes a tenant after its deletion was requested.
    value = {"status": "deleting", "requested_at": tenant.updated_at, "services": services}
    return reply_to(request, value)
