"""Rows of API keys: what keys of projects and root keys have in common.

The stored secret is a keyed hash. A change of a key and its event are one statement.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.encryption import Keyring
from chassis.request import Request
from chassis.rows import changed_row, new_row, to_resource
from chassis.statements import Statement, assignments, parameters
from contracts.api_keys import ApiKey, ApiKeyCreated, ApiKeyRevoked, CreateApiKey
from contracts.context import Context
from contracts.ids import new_id
from contracts.secrets import KeyKind, digest, new_secret, shown_prefix
from outbox.record import OutboxEntry, create_entry, with_outbox_entry
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Label,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlmodel import SQLModel

from projects.cascades import IS_KEY_ENDED, IS_ONE_OF_MANY_ENDED
from projects.tables import API_KEYS, ApiKeyRow


def status_of(
    *is_expired: ColumnElement[bool], is_ended: ColumnElement[bool] = IS_KEY_ENDED
) -> Label[str]:
    """The status that is shown: a key expires without a write, and is revoked before its turn
    comes. `is_expired`: what ends the secret that was shown, besides the end of the key.
    """
    return case(
        (or_(API_KEYS.c.status == "revoked", is_ended), "revoked"),
        (or_(API_KEYS.c.expires_at <= func.now(), *is_expired), "expired"),
        else_="active",
    ).label("status")


STATUS = status_of()
STATUS_OF_MANY = status_of(is_ended=IS_ONE_OF_MANY_ENDED)
"""For filters of lists."""
COLUMNS = [
    STATUS if column.name == "status" else column
    for column in API_KEYS.c
    if column.name not in ("secret_hash", "previous_hash", "rotated_at")
]


class LockedApiKey(SQLModel):
    """A key with the environment of its project."""

    tenant_id: str
    id: str
    type: str
    scopes: list[str]
    status: str
    expires_at: datetime | None
    previous_expires_at: datetime | None
    previous_last_used_at: datetime | None
    secret_version: int
    environment: str


CREATE = Statement(
    with_outbox_entry(
        insert(API_KEYS).values(parameters(API_KEYS.c)).returning(API_KEYS.c.id).cte("changed")
    )
)
REVOKE = Statement(
    with_outbox_entry(
        update(API_KEYS)
        .where(API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.id == bindparam("id"))
        .values(assignments([API_KEYS.c.status, API_KEYS.c.revoked_at]))
        .returning(API_KEYS.c.id)
        .cte("changed")
    )
)
_each = (
    func.unnest(bindparam("ids", type_=ARRAY(ID))).table_valued("id", name="each").render_derived()
)
# Each looked up alone, as `identity.users.owners.lock_organizations` does; OFFSET 0 so that those
# are locked too that are revoked already.
_lock = (
    select(API_KEYS.c.tenant_id, API_KEYS.c.id, API_KEYS.c.status)
    .where(API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.id == _each.c.id)
    .offset(literal_column("0"))
    .with_for_update()
    .lateral("lock")
)
_locked = select(_lock).select_from(_each.join(_lock, true())).cte("locked")
REVOKE_STORED = Statement(
    update(API_KEYS)
    .where(
        API_KEYS.c.tenant_id == _locked.c.tenant_id,
        API_KEYS.c.id == _locked.c.id,
        _locked.c.status == literal_column("'active'"),
    )
    .values(status="revoked", revoked_at=bindparam("now", type_=TIME))
    .returning(*COLUMNS),
    ApiKeyRow,
)


def to_api_key(row: ApiKeyRow | LockedApiKey) -> dict[str, Any]:
    """The key as the API shows it: neither a secret nor a hash."""
    previous = None
    if row.previous_expires_at is not None:
        previous = {
            "expires_at": row.previous_expires_at,
            "last_used_at": row.previous_last_used_at,
        }
    return to_resource(row, ApiKey, previous_secret=previous)


def secret_hashes(keyring: Keyring, secret_sha256: str) -> list[str]:
    """What is stored of a secret, by the first hash key or an older one, from the digest by which
    the edge names it.
    """
    return keyring.hashes("api_key", secret_sha256)


def new_api_key(
    request: Request[Any, Any],
    body: CreateApiKey,
    kind: KeyKind,
    tenant_id: str,
    project_id: str | None = None,
) -> tuple[ApiKeyRow, str]:
    """The row of a new key, and its secret."""
    secret = new_secret(kind)
    row = new_row(
        ApiKeyRow,
        tenant_id=tenant_id,
        id=new_id("key"),
        project_id=project_id,
        type=body.type,
        name=body.name,
        prefix=shown_prefix(secret),
        scopes=body.scopes,
        status="active",
        secret_hash=secret_hashes(request.keyring, digest(secret))[0],
        created_by=request.context.actor_id,
        created_at=datetime.now(UTC),
        expires_at=body.expires_at,
        last_used_at=None,
        revoked_at=None,
        rotated_at=None,
        previous_hash=None,
        previous_expires_at=None,
        previous_last_used_at=None,
        secret_version=1,
    )
    return row, secret


async def insert_api_key(
    conn: Connection, request: Request[Any, Any], row: ApiKeyRow
) -> dict[str, Any]:
    """Writes a new key and its event in one statement; returns the key as the API shows it."""
    value = to_api_key(row)
    created = create_entry(
        request.context, ApiKeyCreated, row.id, {"api_key": value}, tenant_id=row.tenant_id
    )
    await CREATE.execute(conn, **vars(row), **created.parameters())
    return value


async def revoke_locked(
    conn: Connection, request: Request[Any, Any], row: ApiKeyRow | LockedApiKey
) -> None:
    """Revokes a key whose row the caller has locked, and records it, in one statement."""
    revoked = changed_row(row, status="revoked", revoked_at=datetime.now(UTC))
    entry = _revoked_entry(request.context, revoked)
    await REVOKE.execute(conn, **vars(revoked), **entry.parameters())


async def revoke_stored(
    conn: Connection, context: Context, ids: Collection[str]
) -> list[OutboxEntry]:
    """Locks keys in the order of their ids, so that two revocations at once wait for each other,
    and revokes those that are stored as active; returns the events, which the caller records.
    """
    rows = await REVOKE_STORED.fetch_all(
        conn, tenant_id=context.tenant(), ids=sorted(ids), now=datetime.now(UTC)
    )
    return [_revoked_entry(context, row) for row in sorted(rows, key=lambda row: row.id)]


def _revoked_entry(context: Context, row: ApiKeyRow | LockedApiKey) -> OutboxEntry:
    data = {"api_key": to_api_key(row)}
    return create_entry(context, ApiKeyRevoked, row.id, data, tenant_id=row.tenant_id)
