"""How many projects a tenant has, which its quota bounds, and for the operator how many tenants."""

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from sqlalchemy import bindparam, func, select

from projects.tables import PROJECTS, TENANTS

COUNT_PROJECTS = Statement(
    select(func.count()).select_from(PROJECTS).where(PROJECTS.c.tenant_id == bindparam("tenant_id"))
)
COUNT_TENANTS = Statement(
    select(TENANTS.c.status, func.count().label("count")).group_by(TENANTS.c.status)
)


@read_only()
async def get_projects_overview(conn: Connection, request: Request) -> Reply:
    total = await COUNT_PROJECTS.fetch_value(conn, tenant_id=request.tenant)
    return reply_to(request, {"projects": {"total": total, "total_exact": True}})


@read_only()
async def get_tenants_overview(conn: Connection, request: Request) -> Reply:
    """For the operator alone, as the edge sees to."""
    counts = dict.fromkeys(("active", "suspended", "deleting"), 0)
    counts |= {row["status"]: row["count"] for row in await COUNT_TENANTS.fetch_all(conn)}
    return reply_to(request, {"tenants": {"total": sum(counts.values()), **counts}})
