"""Tenants: the operator creates, suspends and deletes them; a tenant sees and names itself."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.case_folding import fold_search
from chassis.database import Connection, violated
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch, check_version, encoded_object
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.rows import changed_row, new_row
from chassis.statements import Statement
from chassis.unit_of_work import read_only, transactional
from contracts.api_keys import CreateApiKey
from contracts.fields import slug_from
from contracts.ids import new_id
from contracts.lifecycle import TenantDeletionRequested
from contracts.models import Body, DeleteQuery
from contracts.problems import Problem, not_found
from contracts.tenants import (
    CreateTenant,
    Tenant,
    TenantCreated,
    TenantResumed,
    TenantsQuery,
    TenantSuspended,
    TenantUpdated,
    UpdateTenant,
)
from outbox.crud import Crud
from outbox.record import create_entry, create_message
from sqlalchemy import bindparam, func, select

from projects.keys import root_keys
from projects.keys.key_rows import insert_api_key, new_api_key, to_api_key
from projects.tables import API_KEYS, PROJECTS, TENANTS, TenantRow

CRUD = Crud(TenantRow, Tenant, locks_key=True)
PREVIEW_DELETE = Statement(
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
    row=TenantRow,
    source=TENANTS,
    columns=CRUD.columns,
    key=TENANTS.c.id,
    scope={},
    sorts={"name": TENANTS.c.name.collate("C")},
    filters={
        "q": lambda pattern: TENANTS.c.search.like(fold_search(pattern)),
        "status": lambda status: TENANTS.c.status == status,
    },
)
"""The operator's list: the only one that is bound to no tenant."""


@transactional()
async def create_tenant(conn: Connection, request: Request[CreateTenant]) -> Reply:
    """The tenant and its first root key."""
    body, tenant_id, now = request.body, new_id("ten"), datetime.now(UTC)
    row = new_row(
        TenantRow,
        id=tenant_id,
        name=body.name,
        slug=body.slug or slug_from(body.name, tenant_id.replace("_", "-")),
        status="active",
        settings=encoded_object(body.settings, "settings"),
        quotas=encoded_object(body.model_dump()["quotas"], "quotas"),
        version=1,
        created_at=now,
        updated_at=now,
    )
    tenant = CRUD.shown(row)
    entry = create_entry(
        request.context, TenantCreated, tenant_id, {"tenant": tenant}, tenant_id=tenant_id
    )
    try:
        await CRUD.create(conn, row, entry)
    except asyncpg.UniqueViolationError as error:
        raise _slug_taken(error, row) from None
    key, secret = new_api_key(
        request, CreateApiKey(name="Root key", scopes=["*"]), "live", tenant_id
    )
    api_key = await insert_api_key(conn, request, key)
    value = {"tenant": tenant, "api_key": {**api_key, "secret": secret}}
    return reply_to(request, value, created=tenant_id)


def _slug_taken(error: asyncpg.UniqueViolationError, row: TenantRow) -> Problem:
    if violated(error) != "tenants_slug_key":
        raise error
    return Problem("slug_taken", f"The slug {row.slug} belongs to another tenant. Give another.")


@read_only()
async def list_tenants(conn: Connection, request: Request[Body, TenantsQuery]) -> Reply:
    rows, pagination = await LIST.page(conn, request, {}, filters_of(request.query))
    tenants = [CRUD.shown(row) for row in rows]
    return reply_to(request, {"tenants": tenants, "pagination": pagination})


@read_only()
async def get_tenant(conn: Connection, request: Request) -> Reply:
    _check_own(request)
    row = await _get_visible(conn, request, request.path["id"])
    return reply_to(request, CRUD.shown(row))


async def _get_visible(conn: Connection, request: Request, tenant_id: str) -> TenantRow:
    """A tenant that is being deleted is shown to the operator alone."""
    row = await CRUD.get(conn, id=tenant_id)
    if row.status == "deleting" and not _is_operator(request):
        raise not_found()
    return row


def _is_operator(request: Request[Any, Any]) -> bool:
    """Not with a token for one tenant, which may do what a key of that tenant may."""
    return request.context.actor_type == "operator" and request.context.tenant_id is None


def _check_own(request: Request[Any, Any]) -> None:
    """A tenant cannot see that others exist."""
    if not _is_operator(request) and request.path["id"] != request.context.tenant_id:
        raise not_found()


@transactional()
async def update_tenant(conn: Connection, request: Request[UpdateTenant]) -> Reply:
    _check_own(request)
    patch = request.body.given()
    if not _is_operator(request):
        _check_allowed(request, patch)
    row = await CRUD.LOCK.fetch_one(conn, id=request.path["id"])
    if row is None or row.status == "deleting":
        raise not_found()
    check_version(request.context, row.version)
    after, changes = apply_patch(row, request.body.changed(row), CRUD.json_columns)
    value = CRUD.shown(after)
    if not changes:
        return reply_to(request, value)
    kind: type[TenantUpdated | TenantSuspended | TenantResumed] = TenantUpdated
    if "status" in changes:
        kind = TenantSuspended if after.status == "suspended" else TenantResumed
    data = {"tenant": value, "changes": changes}
    entry = create_entry(request.context, kind, row.id, data, tenant_id=row.id)
    try:
        await CRUD.update(conn, after, entry)
    except asyncpg.UniqueViolationError as error:
        raise _slug_taken(error, after) from None
    return reply_to(request, value)


def _check_allowed(request: Request[Any, Any], patch: dict[str, Any]) -> None:
    """A tenant changes its name and settings, with a key that holds every scope."""
    if "*" not in request.context.scopes:
        raise Problem("insufficient_scope", "The credential lacks the scope *.", scope="*")
    for name in ("slug", "status", "quotas"):
        if name in patch:
            raise Problem("insufficient_scope", f"Only the operator may change {name}.")


@transactional()
async def delete_tenant(conn: Connection, request: Request[Body, DeleteQuery]) -> Reply:
    """Asks every service to erase its part; the tenant is deleted when each has confirmed.

    Its credentials are refused from now on. A repeat, while that lasts, changes nothing more.
    """
    row = await CRUD.LOCK.fetch_one(conn, id=request.path["id"])
    if row is None:
        raise not_found()
    is_deleting = row.status == "deleting"
    if not is_deleting:
        check_version(request.context, row.version)
    if request.query.dry_run:
        counts = await PREVIEW_DELETE.fetch_one(conn, id=row.id)
        return Reply(json_bytes({"would_delete": dict(counts or {})}))
    if is_deleting:
        return reply_to(request, CRUD.shown(row))
    after = changed_row(
        row, status="deleting", version=row.version + 1, updated_at=datetime.now(UTC)
    )
    entry = create_message(request.context, TenantDeletionRequested(), "projects", row.id)
    await CRUD.update(conn, after, entry)
    return reply_to(request, CRUD.shown(after))


@read_only()
async def who_am_i(conn: Connection, request: Request) -> Reply:
    row = await _get_visible(conn, request, request.tenant)
    keys = await root_keys.LIST_LIVE.fetch_all(conn, tenant_id=request.tenant)
    context = request.context
    credential = {
        "id": context.actor_id,
        "type": context.credential,
        "scopes": context.scopes,
        "expires_at": context.credential_expires_at,
    }
    value = {
        "tenant": CRUD.shown(row),
        "credential": credential,
        "root_keys": [to_api_key(each) for each in reversed(keys)],
    }
    return reply_to(request, value)
