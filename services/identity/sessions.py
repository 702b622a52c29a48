"""Sessions of users: which are live, and how they end before their time.

Live is active and not expired. Whoever ends several holds the user's row, so that none ends twice.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from chassis.database import TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.context import Context
from contracts.problems import not_found
from contracts.sessions import Session, SessionRevoked
from outbox.record import OutboxEntry, create_entry, record, with_outbox_entry
from sqlalchemy import bindparam, func, select, update

from identity.tables import SESSIONS, USERS

Reason = Literal[
    "revoked", "user_suspended", "user_deleted", "project_deleted", "refresh_token_reused"
]
SHOWN = 100

COLUMNS = [SESSIONS.c[name] for name in Session.model_fields]
_OF_USER = (
    SESSIONS.c.tenant_id == bindparam("tenant_id"),
    SESSIONS.c.user_id == bindparam("user_id"),
)
_LIVE = (
    SESSIONS.c.status == "active",
    SESSIONS.c.expires_at > bindparam("now", type_=TIME),
)

FIND_LIVE = Statement(
    select(*COLUMNS).where(*_OF_USER, *_LIVE).order_by(SESSIONS.c.id.desc()).limit(SHOWN)
)
COUNT_LIVE = Statement(select(func.count()).select_from(SESSIONS).where(*_OF_USER, *_LIVE))
LOCK_USER = Statement(
    select(USERS.c.id)
    .where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
    .with_for_update(key_share=True)
)
REVOKE_ALL = Statement(
    update(SESSIONS)
    .where(*_OF_USER, *_LIVE)
    .values(status="revoked")
    .returning(SESSIONS.c.user_id, SESSIONS.c.id)
)
REVOKE_ONE = Statement(
    with_outbox_entry(
        update(SESSIONS)
        .where(*_OF_USER, SESSIONS.c.id == bindparam("id"), *_LIVE)
        .values(status="revoked")
        .returning(SESSIONS.c.id)
        .cte("changed")
    )
)
REVOKE_OF_PROJECT = Statement(
    update(SESSIONS)
    .where(
        SESSIONS.c.tenant_id == bindparam("tenant_id"),
        SESSIONS.c.project_id == bindparam("project_id"),
        *_LIVE,
    )
    .values(status="revoked")
    .returning(SESSIONS.c.user_id, SESSIONS.c.id)
)


def shown(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The session as the contract shows it."""
    session = {column.name: row[column.name] for column in COLUMNS}
    if row["status"] == "active" and row["expires_at"] <= now:
        session["status"] = "expired"
    return session


async def revoke_all(conn: Connection, request: Request) -> Reply:
    """All live sessions of a user; having none is a success too."""
    user_id = request.path["id"]
    if await LOCK_USER.fetch_one(conn, tenant_id=request.tenant, user_id=user_id) is None:
        raise not_found()
    await record(conn, await ended(conn, request.context, user_id, "revoked"))
    return reply_to(request)


async def revoke(conn: Connection, request: Request) -> Reply:
    """One statement. A session that is not live any more is not found."""
    one = {"tenant_id": request.tenant, "user_id": request.path["id"], "id": request.path["sid"]}
    if not await end(conn, request.context, one, "revoked"):
        raise not_found()
    return reply_to(request)


async def end(conn: Connection, context: Context, one: Mapping[str, str], reason: Reason) -> bool:
    """Revokes the session of this `tenant_id`, `user_id` and `id` with its event, if it is live."""
    revoked = _revoked(context, one["tenant_id"], one["user_id"], one["id"], reason)
    row = await REVOKE_ONE.fetch_one(conn, **one, now=datetime.now(UTC), **revoked.parameters())
    return row is not None


async def ended(
    conn: Connection, context: Context, user_id: str, reason: Reason
) -> list[OutboxEntry]:
    """Revokes a user's live sessions; answers the events, to be recorded by the caller."""
    tenant_id = context.tenant()
    rows = await REVOKE_ALL.fetch_all(
        conn, tenant_id=tenant_id, user_id=user_id, now=datetime.now(UTC)
    )
    return _events(context, tenant_id, rows, reason)


async def revoked_of_project(
    conn: Connection, context: Context, tenant_id: str, project_id: str
) -> list[OutboxEntry]:
    """The same for all live sessions with a project."""
    rows = await REVOKE_OF_PROJECT.fetch_all(
        conn, tenant_id=tenant_id, project_id=project_id, now=datetime.now(UTC)
    )
    return _events(context, tenant_id, rows, "project_deleted")


def _events(
    context: Context, tenant_id: str, rows: Iterable[Mapping[str, str]], reason: Reason
) -> list[OutboxEntry]:
    return [
        _revoked(context, tenant_id, user_id, session_id, reason)
        for user_id, session_id in sorted((row["user_id"], row["id"]) for row in rows)
    ]


def _revoked(
    context: Context, tenant_id: str, user_id: str, session_id: str, reason: Reason
) -> OutboxEntry:
    data = {"user_id": user_id, "session_id": session_id, "reason": reason}
    return create_entry(context, SessionRevoked, session_id, data, tenant_id=tenant_id)
