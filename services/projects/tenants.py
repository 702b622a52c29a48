"""Tenants: the operator makes, suspends and deletes them; a tenant sees and names itself."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.ask import Ask, Reply, answer, json_bytes, stored_json
from chassis.database import Connection, violated
from chassis.listing import Listing, given
from chassis.patches import apply_patch, check_version, encoded_object
from chassis.statements import Statement, parameters
from contracts.api_keys import NewApiKey
from contracts.fields import slug_from
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.problems import Problem, not_found
from contracts.tenants import (
    NewTenant,
    TenantCreated,
    TenantPatch,
    TenantResumed,
    TenantsQuery,
    TenantSuspended,
    TenantUpdated,
)
from outbox.record import event, lifecycle, recording
from sqlalchemy import bindparam, func, insert, select, update

from projects import api_keys
from projects.tables import API_KEYS, PROJECTS, TENANTS

DELETION_REQUESTED = "tenant.deletion_requested"

_COLUMNS = [column for column in TENANTS.c if column.name != "search"]
_CHANGEABLE = [column for column in _COLUMNS if column.name not in ("id", "created_at")]
_ONE = TENANTS.c.id == bindparam("id")

INSERT = Statement(
    recording(insert(TENANTS).values(parameters(_COLUMNS)).returning(TENANTS.c.id).cte("changed"))
)
FIND = Statement(select(*_COLUMNS).where(_ONE))
LOCK = Statement(select(*_COLUMNS).where(_ONE).with_for_update())
UPDATE = Statement(
    recording(
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


async def create(conn: Connection, ask: Ask[NewTenant]) -> Reply:
    """The tenant and its root key, which holds every scope and belongs to no project."""
    now = datetime.now(UTC)
    tenant_id = new_id("ten")
    row = {
        "id": tenant_id,
        "name": ask.body.name,
        "slug": ask.body.slug or slug_from(ask.body.name, tenant_id.replace("_", "-")),
        "status": "active",
        "settings": encoded_object(ask.body.settings, "settings"),
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    created = event(
        ask.context, TenantCreated, tenant_id, {"tenant": shown(row)}, tenant_id=tenant_id
    )
    try:
        await INSERT.row(conn, **row, **created.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, str(row["slug"])) from None
    key, secret = api_keys.issue(ask, NewApiKey(name="Root key", scopes=["*"]), "live")
    key |= {"tenant_id": tenant_id, "project_id": None}
    await api_keys.insert_issued(conn, ask, key)
    value = {"tenant": shown(row), "api_key": {**api_keys.shown(key), "secret": secret}}
    return answer(ask, value, created=tenant_id)


def _taken(error: asyncpg.UniqueViolationError, slug: str) -> Problem:
    if violated(error) != "tenants_slug_key":
        raise error
    return Problem("slug_taken", f"The slug {slug} belongs to another tenant. Give another.")


async def find_all(conn: Connection, ask: Ask[Body, TenantsQuery]) -> Reply:
    rows, pagination = await LIST.page(conn, ask, {}, given(ask.query))
    return answer(ask, {"tenants": [shown(row) for row in rows], "pagination": pagination})


async def find(conn: Connection, ask: Ask) -> Reply:
    _check_own(ask)
    row = await FIND.row(conn, id=ask.path["id"])
    if row is None or _is_gone_to(ask, row):
        raise not_found()
    return answer(ask, shown(row))


def _is_operator(ask: Ask[Any, Any]) -> bool:
    return ask.context.actor_type == "operator"


def _is_gone_to(ask: Ask[Any, Any], row: Mapping[str, Any]) -> bool:
    """A tenant that is being deleted is shown to the operator alone."""
    return row["status"] == "deleting" and not _is_operator(ask)


def _check_own(ask: Ask[Any, Any]) -> None:
    """To a tenant, there is no other."""
    if not _is_operator(ask) and ask.path["id"] != ask.context.tenant_id:
        raise not_found()


async def change(conn: Connection, ask: Ask[TenantPatch]) -> Reply:
    _check_own(ask)
    patch = ask.body.given()
    if not _is_operator(ask):
        _check_allowed(ask, patch)
    row = await LOCK.row(conn, id=ask.path["id"])
    if row is None or row["status"] == "deleting":
        raise not_found()
    check_version(ask.context, row["version"])
    after, changes = apply_patch(row, patch, objects=("settings",))
    if not changes:
        return answer(ask, shown(row))
    kind: type[TenantUpdated | TenantSuspended | TenantResumed] = TenantUpdated
    if "status" in changes:
        kind = TenantSuspended if after["status"] == "suspended" else TenantResumed
    data = {"tenant": shown(after), "changes": changes}
    updated = event(ask.context, kind, row["id"], data, tenant_id=row["id"])
    values = {f"new_{name}": field for name, field in after.items()}
    try:
        await UPDATE.row(conn, id=row["id"], **values, **updated.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, after["slug"]) from None
    return answer(ask, shown(after))


def _check_allowed(ask: Ask[Any, Any], patch: dict[str, Any]) -> None:
    """A tenant changes its name and settings, with a key that holds every scope."""
    if "*" not in ask.context.scopes:
        raise Problem("insufficient_scope", "The credential lacks the scope *.", scope="*")
    for name in ("slug", "status"):
        if name in patch:
            raise Problem("insufficient_scope", f"Only the operator may change {name}.")


async def remove(conn: Connection, ask: Ask[Body, DeleteQuery]) -> Reply:
    """Asks every service to erase its part; the tenant is gone when each has confirmed.

    Its credentials are refused from now on. A repeat, while that lasts, changes nothing more.
    """
    row = await LOCK.row(conn, id=ask.path["id"])
    if row is None:
        raise not_found()
    is_going = row["status"] == "deleting"
    if not is_going:
        check_version(ask.context, row["version"])
    if ask.query.dry_run:
        counts = await PREVIEW.row(conn, id=row["id"])
        return Reply(json_bytes({"would_delete": dict(counts or {})}))
    if is_going:
        return answer(ask, shown(row))
    after = {
        **row,
        "status": "deleting",
        "version": row["version"] + 1,
        "updated_at": datetime.now(UTC),
    }
    requested = lifecycle(ask.context, "projects", DELETION_REQUESTED, row["id"], {})
    values = {f"new_{name}": field for name, field in after.items()}
    await UPDATE.row(conn, id=row["id"], **values, **requested.parameters())
    return answer(ask, shown(after))


async def who_am_i(conn: Connection, ask: Ask) -> Reply:
    row = await FIND.row(conn, id=ask.tenant)
    if row is None or _is_gone_to(ask, row):
        raise not_found()
    keys = await api_keys.ROOT_KEYS.rows(conn, tenant_id=ask.tenant)
    credential = {
        "id": ask.context.actor_id,
        "type": ask.context.credential,
        "scopes": ask.context.scopes,
        "expires_at": ask.context.credential_expires_at,
    }
    value = {
        "tenant": shown(row),
        "credential": credential,
        "root_keys": [api_keys.shown(each) for each in keys],
    }
    return answer(ask, value)
