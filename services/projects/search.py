"""What `GET /v1/admin/search` finds here: one by its identifier, else projects by name and slug,
for the operator tenants. What has the slug comes first.
"""

from collections.abc import Sequence
from typing import Any

from chassis.database import ID, Connection
from chassis.listing import search_pattern
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.ids import is_id
from contracts.models import Body
from contracts.search import MOST_RESULTS, ResultType, SearchQuery
from sqlalchemy import bindparam, select

from projects import projects, tenants
from projects.tables import (
    API_KEYS,
    PROJECTS,
    SIGNING_KEYS,
    TENANTS,
    ApiKeyRow,
    ProjectRow,
    SigningKeyRow,
    TenantRow,
)

_q = bindparam("q", type_=ID)
_PROJECT = (PROJECTS.c.id, PROJECTS.c.name, PROJECTS.c.slug)
_TENANT = (TENANTS.c.id, TENANTS.c.name, TENANTS.c.slug)
_OF_TENANT = PROJECTS.c.tenant_id == bindparam("tenant_id")
GET_PROJECT = Statement(select(*_PROJECT).where(_OF_TENANT, PROJECTS.c.id == _q), ProjectRow)
GET_PROJECT_BY_SLUG = Statement(
    select(*_PROJECT).where(_OF_TENANT, PROJECTS.c.slug == _q), ProjectRow
)
GET_API_KEY = Statement(
    select(API_KEYS.c.id, API_KEYS.c.name, API_KEYS.c.prefix, API_KEYS.c.project_id).where(
        API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.id == _q
    ),
    ApiKeyRow,
)
GET_SIGNING_KEY = Statement(
    select(SIGNING_KEYS.c.id, SIGNING_KEYS.c.algorithm, SIGNING_KEYS.c.project_id).where(
        SIGNING_KEYS.c.tenant_id == bindparam("tenant_id"), SIGNING_KEYS.c.id == _q
    ),
    SigningKeyRow,
)
GET_TENANT = Statement(select(*_TENANT).where(TENANTS.c.id == _q), TenantRow)
GET_TENANT_BY_SLUG = Statement(select(*_TENANT).where(TENANTS.c.slug == _q), TenantRow)


@read_only()
async def search_projects(conn: Connection, request: Request[Body, SearchQuery]) -> Reply:
    q, scope = request.query.q, {"tenant_id": request.tenant}
    if is_id("prj", q):
        rows = await GET_PROJECT.fetch_all(conn, **scope, q=q)
    else:
        rows = await GET_PROJECT_BY_SLUG.fetch_all(conn, **scope, q=q.lower())
        rows += await projects.LIST.first(conn, scope, {"q": search_pattern(q)}, MOST_RESULTS)
    return _named(request, "project", rows)


@read_only()
async def search_tenants(conn: Connection, request: Request[Body, SearchQuery]) -> Reply:
    """For the operator alone, as the edge sees to."""
    q = request.query.q
    if is_id("ten", q):
        rows = await GET_TENANT.fetch_all(conn, q=q)
    else:
        rows = await GET_TENANT_BY_SLUG.fetch_all(conn, q=q.lower())
        rows += await tenants.LIST.first(conn, {}, {"q": search_pattern(q)}, MOST_RESULTS)
    return _named(request, "tenant", rows)


@read_only()
async def search_api_keys(conn: Connection, request: Request[Body, SearchQuery]) -> Reply:
    """The key of an identifier; a root key is shown with its tenant."""
    rows = await GET_API_KEY.fetch_all(conn, tenant_id=request.tenant, q=request.query.q)
    results = [
        {
            "type": "api_key",
            "id": row.id,
            "name": row.name,
            "detail": row.prefix,
            "path": f"/v1/admin/projects/{row.project_id}/api-keys"
            if row.project_id
            else "/v1/admin/tenant",
        }
        for row in rows
    ]
    return reply_to(request, {"results": results})


@read_only()
async def search_signing_keys(conn: Connection, request: Request[Body, SearchQuery]) -> Reply:
    """The key of an identifier, which is the `kid` of tokens."""
    rows = await GET_SIGNING_KEY.fetch_all(conn, tenant_id=request.tenant, q=request.query.q)
    results = [
        {
            "type": "signing_key",
            "id": row.id,
            "name": row.id,
            "detail": row.algorithm,
            "path": f"/v1/admin/projects/{row.project_id}/signing-keys",
        }
        for row in rows
    ]
    return reply_to(request, {"results": results})


def _named(
    request: Request[Any, Any], kind: ResultType, rows: Sequence[ProjectRow] | Sequence[TenantRow]
) -> Reply:
    """Each once, in the order in which they were found."""
    results = {
        row.id: {
            "type": kind,
            "id": row.id,
            "name": row.name,
            "detail": row.slug,
            "path": f"/v1/admin/{kind}s/{row.id}",
        }
        for row in rows
    }
    return reply_to(request, {"results": list(results.values())[:MOST_RESULTS]})
