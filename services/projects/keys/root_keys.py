"""Root keys: keys of a tenant with every scope and no project. The operator creates and revokes.

A tenant always keeps one that works: whoever revokes one locks the tenant's row.
"""

from dataclasses import replace

import orjson
from chassis.database import Connection
from chassis.listing import Listing, filters_of
from chassis.quota import Quota
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only, transactional
from contracts.api_keys import CreateApiKey, RevokeApiKeyQuery
from contracts.models import Body
from contracts.problems import Problem, not_found
from contracts.tenants import CreateRootKey, RootKeysQuery
from sqlalchemy import bindparam, func, literal_column, select

from projects.keys.descendants import revoke_descendants
from projects.keys.key_rows import (
    COLUMNS,
    STATUS,
    insert_api_key,
    new_api_key,
    revoke_locked,
    to_api_key,
)
from projects.tables import API_KEYS, TENANTS, ApiKeyRow, TenantRow

MAX_SHOWN = 100
"""Of the root keys that a tenant sees: as many as it may have, unless the operator allows more."""

_TENANT = select(TENANTS.c.id, TENANTS.c.quotas).where(
    TENANTS.c.id == bindparam("tenant_id"), TENANTS.c.status != "deleting"
)
_OF_TENANT = (API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.project_id.is_(None))

GET_TENANT = Statement(_TENANT, TenantRow)
# Other keys can be created meanwhile, but the tenant cannot be deleted.
LOCK_TENANT_SHARED = Statement(_TENANT.with_for_update(read=True, key_share=True), TenantRow)
LOCK_TENANT = Statement(_TENANT.with_for_update(key_share=True), TenantRow)
QUOTA = Quota(
    "root_keys",
    select(API_KEYS.c.id).where(*_OF_TENANT, API_KEYS.c.status == literal_column("'active'")),
)
LIST_LIVE = Statement(
    select(*COLUMNS)
    .where(*_OF_TENANT, API_KEYS.c.status == literal_column("'active'"), STATUS.element == "active")
    .order_by(API_KEYS.c.id.desc())
    .limit(MAX_SHOWN),
    ApiKeyRow,
)
LOCK = Statement(
    select(*COLUMNS).where(*_OF_TENANT, API_KEYS.c.id == bindparam("id")).with_for_update(),
    ApiKeyRow,
)
COUNT_OTHERS = Statement(
    select(func.count())
    .select_from(API_KEYS)
    .where(*_OF_TENANT, API_KEYS.c.id != bindparam("id"), STATUS.element == "active")
)
LIST = Listing(
    row=ApiKeyRow,
    source=API_KEYS,
    columns=COLUMNS,
    key=API_KEYS.c.id,
    scope={"tenant_id": API_KEYS.c.tenant_id},
    filters={
        "root": lambda _: API_KEYS.c.project_id.is_(None),
        "status": lambda status: STATUS.element == status,
    },
)


@transactional()
async def create_root_key(conn: Connection, request: Request[CreateRootKey]) -> Reply:
    tenant_id = request.path["id"]
    tenant = await LOCK_TENANT_SHARED.fetch_one(conn, tenant_id=tenant_id)
    if tenant is None:
        raise not_found()
    bound = orjson.loads(tenant.quotas).get(QUOTA.name, request.quota(QUOTA.name))
    await QUOTA.check(conn, bound, tenant_id, tenant_id=tenant_id)
    body = CreateApiKey(name=request.body.name, scopes=["*"])
    row, secret = new_api_key(request, body, "live", tenant_id)
    value = await insert_api_key(conn, request, row)
    return reply_to(request, {**value, "secret": secret}, created=row.id)


@read_only()
async def list_root_keys(conn: Connection, request: Request[Body, RootKeysQuery]) -> Reply:
    scope = {"tenant_id": request.path["id"]}
    if await GET_TENANT.fetch_value(conn, **scope) is None:
        raise not_found()
    filters = {"root": True, **filters_of(request.query)}
    rows, pagination = await LIST.page(conn, request, scope, filters)
    keys = [to_api_key(row) for row in rows]
    return reply_to(request, {"api_keys": keys, "pagination": pagination})


@transactional()
async def revoke_root_key(conn: Connection, request: Request[Body, RevokeApiKeyQuery]) -> Reply:
    """Never the last one that works: nobody could call for the tenant any more."""
    scope = {"tenant_id": request.path["id"]}
    if await LOCK_TENANT.fetch_value(conn, **scope) is None:
        raise not_found()
    row = await LOCK.fetch_one(conn, **scope, id=request.path["key_id"])
    if row is None or row.status == "revoked":
        raise not_found()
    if not await COUNT_OTHERS.fetch_value(conn, **scope, id=row.id):
        raise Problem(
            "last_root_key", "This is the tenant's last root key. Make another one first."
        )
    await revoke_locked(conn, request, row)
    if request.query.descendants:
        context = replace(request.context, tenant_id=row.tenant_id)
        await revoke_descendants(conn, context, row.id)
    return reply_to(request)
