"""API keys of projects: create, list, revoke, rotate.

A secret is shown once, in the reply that creates it; what is stored is its keyed hash.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.database import Connection
from chassis.listing import Listing, filters_of
from chassis.quota import Quota
from chassis.request import Reply, Request, reply_to
from chassis.rows import changed_row
from chassis.statements import Statement, assignments
from chassis.unit_of_work import read_only, transactional
from contracts.api_keys import (
    ApiKeyRotated,
    ApiKeysQuery,
    CreateApiKey,
    RevokeApiKeyQuery,
    RotateApiKey,
)
from contracts.context import Context
from contracts.models import Body
from contracts.problems import Problem, invalid, not_found
from contracts.scopes import covers
from contracts.secrets import KeyKind, digest, new_secret, shown_prefix
from outbox.record import OutboxEntry, create_entry, with_outbox_entry
from sqlalchemy import bindparam, literal_column, not_, null, select, update

from projects.cascades import IS_ONE_OF_MANY_ENDED
from projects.keys.descendants import revoke_descendants
from projects.keys.key_rows import (
    COLUMNS,
    STATUS_OF_MANY,
    LockedApiKey,
    insert_api_key,
    new_api_key,
    revoke_locked,
    revoke_stored,
    secret_hashes,
    to_api_key,
)
from projects.keys.makers import check_outlived
from projects.tables import API_KEYS, PROJECTS, ApiKeyRow

_OF_PROJECT = (
    API_KEYS.c.tenant_id == bindparam("tenant_id"),
    API_KEYS.c.project_id == bindparam("project_id"),
)
_ONE = (*_OF_PROJECT, API_KEYS.c.id == bindparam("id"))
_ENVIRONMENT = select(PROJECTS.c.environment).where(
    PROJECTS.c.tenant_id == bindparam("tenant_id"), PROJECTS.c.id == bindparam("project_id")
)


GET_ENVIRONMENT = Statement(_ENVIRONMENT)
# Other keys can be created meanwhile, but the project cannot be deleted.
LOCK_PROJECT_SHARED = Statement(_ENVIRONMENT.with_for_update(read=True, key_share=True))
LOCK = Statement(
    select(*COLUMNS, PROJECTS.c.environment)
    .join(
        PROJECTS,
        (PROJECTS.c.tenant_id == API_KEYS.c.tenant_id) & (PROJECTS.c.id == API_KEYS.c.project_id),
    )
    .where(*_ONE)
    .with_for_update(of=API_KEYS),
    LockedApiKey,
)
LIST_STORED_ACTIVE = Statement(
    select(API_KEYS.c.id)
    .where(*_OF_PROJECT, API_KEYS.c.status == literal_column("'active'"))
    .limit(bindparam("at_most"))
)
_ROTATED = ("prefix", "secret_hash", "secret_version", "rotated_at", "previous_expires_at")
ROTATE = Statement(
    with_outbox_entry(
        update(API_KEYS)
        .where(*_ONE)
        .values(
            {
                **assignments(API_KEYS.c[name] for name in _ROTATED),
                "previous_hash": API_KEYS.c.secret_hash,
                "previous_last_used_at": null(),
            }
        )
        .returning(API_KEYS.c.id)
        .cte("changed")
    )
)
QUOTA = Quota(
    "api_keys_per_project",
    select(API_KEYS.c.id).where(
        *_OF_PROJECT, API_KEYS.c.status == literal_column("'active'"), not_(IS_ONE_OF_MANY_ENDED)
    ),
)
LIST = Listing(
    row=ApiKeyRow,
    source=API_KEYS,
    columns=COLUMNS,
    key=API_KEYS.c.id,
    scope={"tenant_id": API_KEYS.c.tenant_id, "project_id": API_KEYS.c.project_id},
    filters={
        "status": lambda status: STATUS_OF_MANY.element == status,
        "type": lambda kind: API_KEYS.c.type == kind,
    },
)


@transactional()
async def create_api_key(conn: Connection, request: Request[CreateApiKey]) -> Reply:
    body, project_id = request.body, request.path["id"]
    environment = await LOCK_PROJECT_SHARED.fetch_value(
        conn, tenant_id=request.tenant, project_id=project_id
    )
    if environment is None:
        raise not_found()
    _check_body(body)
    _check_caller_holds(request, body.scopes)
    await check_outlived(conn, request, body.expires_at)
    scope = {"tenant_id": request.tenant, "project_id": project_id}
    await QUOTA.check(conn, request.quota(QUOTA.name), project_id, **scope)
    row, secret = new_api_key(
        request, body, _kind(body.type, environment), request.tenant, project_id
    )
    value = await insert_api_key(conn, request, row)
    return reply_to(request, {**value, "secret": secret}, created=row.id)


def _check_body(body: CreateApiKey) -> None:
    if body.type == "secret" and not body.scopes:
        raise invalid("scopes", "must name at least one scope for a secret key", "required")
    if body.type == "publishable" and body.scopes:
        raise invalid("scopes", "must be empty for a publishable key", "not_allowed")
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise invalid("expires_at", "must lie in the future", "in_the_past")


def _check_caller_holds(request: Request[Any, Any], scopes: Iterable[str]) -> None:
    """Nobody can create or rotate a key that may do more than the caller's own credential."""
    missing = [scope for scope in scopes if not covers(request.context.scopes, scope)]
    if missing:
        raise Problem(
            "insufficient_scope",
            f"The credential does not hold {', '.join(missing)} itself. Use one that does.",
        )


def _kind(key_type: str, environment: str) -> KeyKind:
    if key_type == "publishable":
        return "pub"
    return "live" if environment == "production" else "test"


@read_only()
async def list_api_keys(conn: Connection, request: Request[Body, ApiKeysQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "project_id": request.path["id"]}
    if await GET_ENVIRONMENT.fetch_value(conn, **scope) is None:
        raise not_found()
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    keys = [to_api_key(row) for row in rows]
    return reply_to(request, {"api_keys": keys, "pagination": pagination})


async def _lock(conn: Connection, request: Request[Any, Any]) -> LockedApiKey:
    row = await LOCK.fetch_one(
        conn, tenant_id=request.tenant, project_id=request.path["id"], id=request.path["key_id"]
    )
    if row is None:
        raise not_found()
    return row


@transactional()
async def revoke_api_key(conn: Connection, request: Request[Body, RevokeApiKeyQuery]) -> Reply:
    row = await _lock(conn, request)
    if row.status == "revoked":
        raise not_found()
    await revoke_locked(conn, request, row)
    if request.query.descendants:
        await revoke_descendants(conn, request.context, row.id)
    return reply_to(request)


async def revoke_some_of_project(
    conn: Connection, context: Context, project_id: str, at_most: int
) -> tuple[list[OutboxEntry], bool]:
    """Revokes so many keys of a project that is deleted; returns their events, which the caller
    records, and whether there may be more.
    """
    found = await LIST_STORED_ACTIVE.fetch_all(
        conn, tenant_id=context.tenant(), project_id=project_id, at_most=at_most
    )
    entries = await revoke_stored(conn, context, [row["id"] for row in found])
    return entries, len(found) == at_most


@transactional()
async def rotate_api_key(conn: Connection, request: Request[RotateApiKey]) -> Reply:
    """A new secret; the previous one works until its overlap ends, an older one no more."""
    row = await _lock(conn, request)
    if row.status != "active":
        raise Problem("key_not_active", f"The key is {row.status}. Create a new one instead.")
    _check_caller_holds(request, row.scopes)
    await check_outlived(conn, request, row.expires_at)
    secret, now = new_secret(_kind(row.type, row.environment)), datetime.now(UTC)
    rotated = changed_row(
        row,
        prefix=shown_prefix(secret),
        secret_hash=secret_hashes(request.keyring, digest(secret))[0],
        secret_version=row.secret_version + 1,
        rotated_at=now,
        previous_expires_at=now + timedelta(seconds=request.body.overlap),
        previous_last_used_at=None,
    )
    value = to_api_key(rotated)
    entry = create_entry(request.context, ApiKeyRotated, row.id, {"api_key": value})
    await ROTATE.execute(conn, **vars(rotated), **entry.parameters())
    return reply_to(request, {**value, "secret": secret}, created=row.id)
