"""API keys: issued, listed, rotated, revoked. A secret leaves once; only its keyed hash stays."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.database import Connection
from chassis.encryption import Keyring
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement, parameters
from contracts.api_keys import (
    ApiKey,
    ApiKeyCreated,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeysQuery,
    CreateApiKey,
    RotateApiKey,
)
from contracts.ids import new_id
from contracts.models import Body
from contracts.problems import Problem, invalid, not_found
from contracts.scopes import covers
from contracts.secrets import KeyKind, digest, new_secret, shown_prefix
from outbox.record import OutboxEntry, create_entry, with_outbox_entry
from sqlalchemy import bindparam, case, func, insert, null, select, update

from projects.tables import API_KEYS, PROJECTS

STATUS = case(
    (API_KEYS.c.status == "revoked", "revoked"),
    (API_KEYS.c.expires_at <= func.now(), "expired"),
    else_="active",
).label("status")
COLUMNS = [
    STATUS if column.name == "status" else column
    for column in API_KEYS.c
    if column.name not in ("tenant_id", "secret_hash", "previous_hash", "rotated_at")
]
_OF_PROJECT = (
    API_KEYS.c.tenant_id == bindparam("tenant_id"),
    API_KEYS.c.project_id == bindparam("project_id"),
)
_ONE = (*_OF_PROJECT, API_KEYS.c.id == bindparam("id"))
_ROTATED = [
    API_KEYS.c[name] for name in ("prefix", "secret_hash", "rotated_at", "previous_expires_at")
]

INSERT = Statement(
    with_outbox_entry(
        insert(API_KEYS).values(parameters(API_KEYS.c)).returning(API_KEYS.c.id).cte("new")
    )
)
_ENVIRONMENT = select(PROJECTS.c.environment).where(
    PROJECTS.c.tenant_id == bindparam("tenant_id"), PROJECTS.c.id == bindparam("project_id")
)
PROJECT = Statement(_ENVIRONMENT)
# Shared with other keys being made, but not with the deletion of the project.
HOLD_PROJECT = Statement(_ENVIRONMENT.with_for_update(read=True, key_share=True))
LOCK = Statement(
    select(*COLUMNS, PROJECTS.c.environment)
    .join(
        PROJECTS,
        (PROJECTS.c.tenant_id == API_KEYS.c.tenant_id) & (PROJECTS.c.id == API_KEYS.c.project_id),
    )
    .where(*_ONE)
    .with_for_update(of=API_KEYS)
)
REVOKE = Statement(
    with_outbox_entry(
        update(API_KEYS)
        .where(API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.id == bindparam("id"))
        .values(status="revoked", revoked_at=bindparam("now"))
        .returning(API_KEYS.c.id)
        .cte("changed")
    )
)
REVOKE_ALL = Statement(
    update(API_KEYS)
    .where(*_OF_PROJECT, API_KEYS.c.status == "active")
    .values(status="revoked", revoked_at=bindparam("now"))
    .returning(*COLUMNS)
)
ROTATE = Statement(
    with_outbox_entry(
        update(API_KEYS)
        .where(*_ONE)
        .values(
            {
                **parameters(_ROTATED, "new_"),
                "previous_hash": API_KEYS.c.secret_hash,
                "previous_last_used_at": null(),
            }
        )
        .returning(API_KEYS.c.id)
        .cte("changed")
    )
)
ROOT_KEYS = Statement(
    select(*COLUMNS)
    .where(API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.project_id.is_(None))
    .order_by(API_KEYS.c.id)
)

LIST = Listing(
    source=API_KEYS,
    columns=COLUMNS,
    key=API_KEYS.c.id,
    scope={"tenant_id": API_KEYS.c.tenant_id, "project_id": API_KEYS.c.project_id},
    filters={
        "status": lambda status: STATUS.element == status,
        "type": lambda kind: API_KEYS.c.type == kind,
    },
)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The key as the contract shows it: neither a secret nor a hash."""
    previous = None
    if row["previous_expires_at"] is not None:
        previous = {
            "expires_at": row["previous_expires_at"],
            "last_used_at": row["previous_last_used_at"],
        }
    return {
        name: previous if name == "previous_secret" else row[name] for name in ApiKey.model_fields
    }


def hashed(keys: Keyring, secret_sha256: str) -> str:
    """What is stored of a secret, from the digest by which an edge names it."""
    return keys.hash("api_key", secret_sha256)


def issue(
    request: Request[Any, Any], new: CreateApiKey, kind: KeyKind
) -> tuple[dict[str, Any], str]:
    """The row of a fresh key, its project still to be said, and its secret."""
    secret = new_secret(kind)
    row: dict[str, Any] = {
        **dict.fromkeys(API_KEYS.c.keys()),
        "id": new_id("key"),
        "type": new.type,
        "name": new.name,
        "prefix": shown_prefix(secret),
        "scopes": new.scopes,
        "status": "active",
        "secret_hash": hashed(request.keys, digest(secret)),
        "created_by": request.context.actor_id,
        "created_at": datetime.now(UTC),
        "expires_at": new.expires_at,
    }
    return row, secret


async def insert_issued(conn: Connection, request: Request[Any, Any], row: dict[str, Any]) -> None:
    """Writes the row of a fresh key, and its event, in one statement."""
    created = create_entry(
        request.context,
        ApiKeyCreated,
        row["id"],
        {"api_key": shown(row)},
        tenant_id=row["tenant_id"],
    )
    await INSERT.fetch_one(conn, **row, **created.parameters())


async def create(conn: Connection, request: Request[CreateApiKey]) -> Reply:
    new, project_id = request.body, request.path["id"]
    environment = await HOLD_PROJECT.fetch_value(
        conn, tenant_id=request.tenant, project_id=project_id
    )
    if environment is None:
        raise not_found()
    _check_scopes(new)
    if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
        raise invalid("expires_at", "must lie in the future", "in_the_past")
    _check_held(request, new.scopes)
    row, secret = issue(request, new, _kind(new.type, environment))
    row |= {"tenant_id": request.tenant, "project_id": project_id}
    await insert_issued(conn, request, row)
    return reply_to(request, {**shown(row), "secret": secret}, created=row["id"])


def _check_scopes(new: CreateApiKey) -> None:
    if new.type == "secret" and not new.scopes:
        raise invalid("scopes", "must name at least one scope for a secret key", "required")
    if new.type == "publishable" and new.scopes:
        raise invalid("scopes", "must be empty for a publishable key", "not_allowed")


def _check_held(request: Request[Any, Any], scopes: Iterable[str]) -> None:
    """Nobody gives, or comes by, what he has not."""
    lacking = [scope for scope in scopes if not covers(request.context.scopes, scope)]
    if lacking:
        raise Problem(
            "insufficient_scope",
            f"The credential does not hold {', '.join(lacking)} itself. Use one that does.",
        )


def _kind(key_type: str, environment: str) -> KeyKind:
    if key_type == "publishable":
        return "pub"
    return "live" if environment == "production" else "test"


async def find_all(conn: Connection, request: Request[Body, ApiKeysQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "project_id": request.path["id"]}
    if await PROJECT.fetch_value(conn, **scope) is None:
        raise not_found()
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    return reply_to(request, {"api_keys": [shown(row) for row in rows], "pagination": pagination})


async def _locked(
    conn: Connection, request: Request[Any, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    scope = {
        "tenant_id": request.tenant,
        "project_id": request.path["id"],
        "id": request.path["key_id"],
    }
    row = await LOCK.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    return dict(row), scope


async def revoke(conn: Connection, request: Request) -> Reply:
    row, _ = await _locked(conn, request)
    if row["status"] == "revoked":
        raise not_found()
    await revoke_locked(conn, request, row, request.tenant)
    return reply_to(request)


async def revoke_locked(
    conn: Connection, request: Request[Any, Any], row: Mapping[str, Any], tenant_id: str
) -> None:
    """Revokes a key whose row the caller holds, and records it, in one statement."""
    now = datetime.now(UTC)
    revoked = _revoked(request, {**row, "status": "revoked", "revoked_at": now}, tenant_id)
    await REVOKE.fetch_one(conn, tenant_id=tenant_id, id=row["id"], now=now, **revoked.parameters())


def _revoked(request: Request[Any, Any], row: Mapping[str, Any], tenant_id: str) -> OutboxEntry:
    data = {"api_key": shown(row)}
    return create_entry(request.context, ApiKeyRevoked, row["id"], data, tenant_id=tenant_id)


async def revoked_with(
    conn: Connection, request: Request[Any, Any], project_id: str
) -> list[OutboxEntry]:
    """Revokes every key of a project; answers the events to record, one for each."""
    rows = await REVOKE_ALL.fetch_all(
        conn, tenant_id=request.tenant, project_id=project_id, now=datetime.now(UTC)
    )
    return [_revoked(request, row, request.tenant) for row in rows]


async def rotate(conn: Connection, request: Request[RotateApiKey]) -> Reply:
    """A new secret; the one before works until its overlap ends, one older dies at once."""
    row, scope = await _locked(conn, request)
    if row["status"] != "active":
        raise Problem("key_not_active", f"The key is {row['status']}. Create a new one instead.")
    _check_held(request, row["scopes"])
    secret, now = new_secret(_kind(row["type"], row["environment"])), datetime.now(UTC)
    rotated = {
        "prefix": shown_prefix(secret),
        "previous_expires_at": now + timedelta(seconds=request.body.overlap),
    }
    value = shown({**row, **rotated, "previous_last_used_at": None})
    recorded = create_entry(request.context, ApiKeyRotated, row["id"], {"api_key": value})
    rotated |= {"secret_hash": hashed(request.keys, digest(secret)), "rotated_at": now}
    values = {f"new_{name}": field for name, field in rotated.items()}
    await ROTATE.fetch_one(conn, **scope, **values, **recorded.parameters())
    return reply_to(request, {**value, "secret": secret}, created=row["id"])
