"""Tenants: the operator makes, suspends and deletes them; a tenant sees and names itself."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.database import Connection, violated
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch, check_version, encoded_object
from chassis.request import Reply, Request, json_bytes, reply_to, stored_json
from chassis.statements import Statement, parameters
from contracts.api_keys import CreateApiKey
from contracts.fields import slug_from
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.problems import Problem, not_found
from contracts.tenants import (
    CreateTenant,
    TenantCreated,
    TenantResumed,
    TenantsQuery,
    TenantSuspended,
    TenantUpdated,
    UpdateTenant,
)
from outbox.record import create_entry, create_lifecycle_entry, with_outbox_entry
from sqlalchemy import bindparam, func, insert, select, update

from projects import api_keys
from projects.tables import API_KEYS, PROJECTS, TENANTS

DELETION_REQUESTED = "tenant.deletion_requested"

_COLUMNS = [column for column in TENANTS.c if column.name != "search"]
_CHANGEABLE = [column for column in _COLUMNS if column.name not in ("id", "created_at")]
_ONE = TENANTS.c.id == bindparam("id")

INSERT = Statement(
    with_outbox_entry(
        insert(TENANTS).values(parameters(_COLUMNS)).returning(TENANTS.c.id).cte("changed")
    )
)
FIND = Statement(select(*_COLUMNS).where(_ONE))
LOCK = Statement(select(*_COLUMNS).where(_ONE).with_for_update())
UPDATE = Statement(
    with_outbox_entry(
        update(TENANTS)
        .where(_ONE)
        .values(parameters(_CHANGEABLE, "new_"))
        .returning(TENANTS.c.id)
        .cte("changed")
    )
)
PREVIEW = Statement(
    select(
        select(func.count())
        .select_from(PROJECTS)
        .where(PROJECTS.c.tenant_id == bindparam("id"))
        .scalar_subquery()
        .label("projects"),
        select(func.count())
        .select_from(API_KEYS)
        .where(API_KEYS.c.tenant_id == bindparam("id"))
        .scalar_subquery()
        .label("api_keys"),
    )
)

LIST = Listing(
    source=TENANTS,
    columns=_COLUMNS,
    key=TENANTS.c.id,
    scope={},
    sorts={"name": TENANTS.c.name.collate("C")},
    filters={
        "q": TENANTS.c.search.like,
        "status": lambda status: TENANTS.c.status == status,
    },
)
"""The operator's list: the one that is bound to no tenant."""


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The tenant as the contract shows it."""
    return {**row, "settings": stored_json(row["settings"])}


async def create(conn: Connection, request: Request[CreateTenant]) -> Reply:
    """The tenant and its root key, which holds every scope and belongs to no project."""
    now = datetime.now(UTC)
    tenant_id = new_id("ten")
    row = {
        "id": tenant_id,
        "name": request.body.name,
        "slug": request.body.slug or slug_from(request.body.name, tenant_id.replace("_", "-")),
        "status": "active",
        "settings": encoded_object(request.body.settings, "settings"),
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    created = create_entry(
        request.context, TenantCreated, tenant_id, {"tenant": shown(row)}, tenant_id=tenant_id
    )
    try:
        await INSERT.fetch_one(conn, **row, **created.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, str(row["slug"])) from None
    key, secret = api_keys.issue(request, CreateApiKey(name="Root key", scopes=["*"]), "live")
    key |= {"tenant_id": tenant_id, "project_id": None}
    await api_keys.insert_issued(conn, request, key)
    value = {"tenant": shown(row), "api_key": {**api_keys.shown(key), "secret": secret}}
    return reply_to(request, value, created=tenant_id)


def _taken(error: asyncpg.UniqueViolationError, slug: str) -> Problem:
    if violated(error) != "tenants_slug_key":
        raise error
    return Problem("slug_taken", f"The slug {slug} belongs to another tenant. Give another.")


async def find_all(conn: Connection, request: Request[Body, TenantsQuery]) -> Reply:
    rows, pagination = await LIST.page(conn, request, {}, filters_of(request.query))
    return reply_to(request, {"tenants": [shown(row) for row in rows], "pagination": pagination})


async def find(conn: Connection, request: Request) -> Reply:
    _check_own(request)
    row = await FIND.fetch_one(conn, id=request.path["id"])
    if row is None or _is_gone_to(request, row):
        raise not_found()
    return reply_to(request, shown(row))


def _is_operator(request: Request[Any, Any]) -> bool:
    return request.context.actor_type == "operator"


def _is_gone_to(request: Request[Any, Any], row: Mapping[str, Any]) -> bool:
    """A tenant that is being deleted is shown to the operator alone."""
    return row["status"] == "deleting" and not _is_operator(request)


def _check_own(request: Request[Any, Any]) -> None:
    """To a tenant, there is no other."""
    if not _is_operator(request) and request.path["id"] != request.context.tenant_id:
        raise not_found()


async def change(conn: Connection, request: Request[UpdateTenant]) -> Reply:
    _check_own(request)
    patch = request.body.given()
    if not _is_operator(request):
        _check_allowed(request, patch)
    row = await LOCK.fetch_one(conn, id=request.path["id"])
    if row is None or row["status"] == "deleting":
        raise not_found()
    check_version(request.context, row["version"])
    after, changes = apply_patch(row, patch, objects=("settings",))
    if not changes:
        return reply_to(request, shown(row))
    kind: type[TenantUpdated | TenantSuspended | TenantResumed] = TenantUpdated
    if "status" in changes:
        kind = TenantSuspended if after["status"] == "suspended" else TenantResumed
    data = {"tenant": shown(after), "changes": changes}
    updated = create_entry(request.context, kind, row["id"], data, tenant_id=row["id"])
    values = {f"new_{name}": field for name, field in after.items()}
    try:
        await UPDATE.fetch_one(conn, id=row["id"], **values, **updated.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, after["slug"]) from None
    return reply_to(request, shown(after))


def _check_allowed(request: Request[Any, Any], patch: dict[str, Any]) -> None:
    """A tenant changes its name and settings, with a key that holds every scope."""
    if "*" not in request.context.scopes:
        raise Problem("insufficient_scope", "The credential lacks the scope *.", scope="*")
    for name in ("slug", "status"):
        if name in patch:
            raise Problem("insufficient_scope", f"Only the operator may change {name}.")


async def remove(conn: Connection, request: Request[Body, DeleteQuery]) -> Reply:
    """Asks every service to erase its part; the tenant is gone when each has confirmed.

    Its credentials are refused from now on. A repeat, while that lasts, changes nothing more.
    """
    row = await LOCK.fetch_one(conn, id=request.path["id"])
    if row is None:
        raise not_found()
    is_going = row["status"] == "deleting"
    if not is_going:
        check_version(request.context, row["version"])
    if request.query.dry_run:
        counts = await PREVIEW.fetch_one(conn, id=row["id"])
        return Reply(json_bytes({"would_delete": dict(counts or {})}))
    if is_going:
        return reply_to(request, shown(row))
    after = {
        **row,
        "status": "deleting",
        "version": row["version"] + 1,
        "updated_at": datetime.now(UTC),
    }
    requested = create_lifecycle_entry(
        request.context, "projects", DELETION_REQUESTED, row["id"], {}
    )
    values = {f"new_{name}": field for name, field in after.items()}
    await UPDATE.fetch_one(conn, id=row["id"], **values, **requested.parameters())
    return reply_to(request, shown(after))


async def who_am_i(conn: Connection, request: Request) -> Reply:
    row = await FIND.fetch_one(conn, id=request.tenant)
    if row is None or _is_gone_to(request, row):
        raise not_found()
    keys = await api_keys.ROOT_KEYS.fetch_all(conn, tenant_id=request.tenant)
    credential = {
        "id": request.context.actor_id,
        "type": request.context.credential,
        "scopes": request.context.scopes,
        "expires_at": request.context.credential_expires_at,
    }
    value = {
        "tenant": shown(row),
        "credential": credential,
        "root_keys": [api_keys.shown(each) for each in keys],
    }
    return reply_to(request, value)
