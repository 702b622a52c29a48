"""Root keys: a tenant's keys for everything, of no project. The operator's to make and to revoke.

A tenant always keeps one that works; whoever revokes one holds the tenant's row.
"""

from chassis.database import Connection
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.api_keys import CreateApiKey
from contracts.models import Body
from contracts.problems import Problem, not_found
from contracts.tenants import CreateRootKey, RootKeysQuery
from sqlalchemy import bindparam, func, select

from projects import api_keys
from projects.tables import API_KEYS, TENANTS

_TENANT = select(TENANTS.c.id).where(
    TENANTS.c.id == bindparam("tenant_id"), TENANTS.c.status != "deleting"
)
_ROOT = (API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.project_id.is_(None))

TENANT = Statement(_TENANT)
# Shared with other keys being made, but not with the deletion of the tenant.
HOLD_TENANT = Statement(_TENANT.with_for_update(read=True, key_share=True))
LOCK_TENANT = Statement(_TENANT.with_for_update(key_share=True))
LOCK = Statement(
    select(*api_keys.COLUMNS).where(*_ROOT, API_KEYS.c.id == bindparam("id")).with_for_update()
)
COUNT_OTHERS = Statement(
    select(func.count())
    .select_from(API_KEYS)
    .where(*_ROOT, API_KEYS.c.id != bindparam("id"), api_keys.STATUS.element == "active")
)

LIST = Listing(
    source=API_KEYS,
    columns=api_keys.COLUMNS,
    key=API_KEYS.c.id,
    scope={"tenant_id": API_KEYS.c.tenant_id},
    filters={
        "root": lambda _: API_KEYS.c.project_id.is_(None),
        "status": lambda status: api_keys.STATUS.element == status,
    },
)


async def create(conn: Connection, request: Request[CreateRootKey]) -> Reply:
    """Another key for everything, beside those that there are."""
    tenant_id = request.path["id"]
    if await HOLD_TENANT.fetch_value(conn, tenant_id=tenant_id) is None:
        raise not_found()
    row, secret = api_keys.issue(
        request, CreateApiKey(name=request.body.name, scopes=["*"]), "live"
    )
    row |= {"tenant_id": tenant_id, "project_id": None}
    await api_keys.insert_issued(conn, request, row)
    return reply_to(request, {**api_keys.shown(row), "secret": secret}, created=row["id"])


async def find_all(conn: Connection, request: Request[Body, RootKeysQuery]) -> Reply:
    scope = {"tenant_id": request.path["id"]}
    if await TENANT.fetch_value(conn, **scope) is None:
        raise not_found()
    rows, pagination = await LIST.page(
        conn, request, scope, {"root": True, **filters_of(request.query)}
    )
    keys = [api_keys.shown(row) for row in rows]
    return reply_to(request, {"api_keys": keys, "pagination": pagination})


async def revoke(conn: Connection, request: Request) -> Reply:
    """Never the last one that works: nobody could call for the tenant any more."""
    scope = {"tenant_id": request.path["id"]}
    if await LOCK_TENANT.fetch_value(conn, **scope) is None:
        raise not_found()
    row = await LOCK.fetch_one(conn, **scope, id=request.path["key_id"])
    if row is None or row["status"] == "revoked":
        raise not_found()
    if not await COUNT_OTHERS.fetch_value(conn, **scope, id=row["id"]):
        raise Problem(
            "last_root_key", "This is the tenant's last root key. Make another one first."
        )
    await api_keys.revoke_locked(conn, request, row, scope["tenant_id"])
    return reply_to(request)
