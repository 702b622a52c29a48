"""Sessions of users: which are live, and how they are revoked.

Live is active and not expired. Whoever revokes several holds the user's row, so that none is
revoked twice.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from chassis.database import TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.rows import to_resource
from chassis.statements import Statement
from chassis.unit_of_work import single_statement, transactional
from contracts.context import Context
from contracts.problems import not_found
from contracts.sessions import RevocationReason, Session, SessionRevoked
from outbox.record import OutboxEntry, create_entry, record, with_outbox_entry
from sqlalchemy import bindparam, case, func, literal_column, select, update

from identity.tables import SESSIONS, USERS, SessionRow

MAX_LISTED = 100

COLUMNS = [SESSIONS.c[name] for name in Session.model_fields]
# The expression of an index: written out, as an index knows no parameters.
LIVE_UNTIL = case((SESSIONS.c.status == literal_column("'active'"), SESSIONS.c.expires_at))
IS_LIVE = (bindparam("now", type_=TIME) < LIVE_UNTIL,)
_OF_USER = (
    SESSIONS.c.tenant_id == bindparam("tenant_id"),
    SESSIONS.c.user_id == bindparam("user_id"),
)

LIST_LIVE = Statement(
    select(*COLUMNS).where(*_OF_USER, *IS_LIVE).order_by(SESSIONS.c.id.desc()).limit(MAX_LISTED),
    SessionRow,
)
COUNT_LIVE = Statement(select(func.count()).select_from(SESSIONS).where(*_OF_USER, *IS_LIVE))
LOCK_USER = Statement(
    select(USERS.c.id)
    .where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
    .with_for_update(key_share=True)
)
REVOKE_ALL_OF_USER = Statement(
    update(SESSIONS)
    .where(*_OF_USER, *IS_LIVE)
    .values(status="revoked")
    .returning(SESSIONS.c.user_id, SESSIONS.c.id),
    SessionRow,
)
REVOKE_OLDEST_OF_USER = Statement(
    update(SESSIONS)
    .where(
        SESSIONS.c.tenant_id == bindparam("tenant_id"),
        SESSIONS.c.id.in_(
            select(SESSIONS.c.id)
            .where(*_OF_USER, *IS_LIVE)
            .order_by(SESSIONS.c.id.desc())
            .offset(bindparam("keep"))
        ),
    )
    .values(status="revoked")
    .returning(SESSIONS.c.user_id, SESSIONS.c.id),
    SessionRow,
)
REVOKE_ALL_OF_PROJECT = Statement(
    update(SESSIONS)
    .where(
        SESSIONS.c.tenant_id == bindparam("tenant_id"),
        SESSIONS.c.project_id == bindparam("project_id"),
        *IS_LIVE,
    )
    .values(status="revoked")
    .returning(SESSIONS.c.user_id, SESSIONS.c.id),
    SessionRow,
)
REVOKE_ONE = Statement(
    with_outbox_entry(
        update(SESSIONS)
        .where(*_OF_USER, SESSIONS.c.id == bindparam("id"), *IS_LIVE)
        .values(status="revoked")
        .returning(SESSIONS.c.id)
        .cte("changed")
    )
)


class _HasStatus(Protocol):
    status: str
    expires_at: datetime


def to_session(row: _HasStatus, now: datetime) -> dict[str, Any]:
    """The session as the API shows it; expired ones are stored as active."""
    is_expired = row.status == "active" and row.expires_at <= now
    return to_resource(row, Session, status="expired" if is_expired else row.status)


@transactional()
async def revoke_sessions(conn: Connection, request: Request) -> Reply:
    """Revokes all live sessions of a user; having none is a success too."""
    user_id = request.path["id"]
    if await LOCK_USER.fetch_one(conn, tenant_id=request.tenant, user_id=user_id) is None:
        raise not_found()
    await record(conn, await revoke_all_of_user(conn, request.context, user_id, "revoked"))
    return reply_to(request)


@single_statement()
async def revoke_session(conn: Connection, request: Request) -> Reply:
    """A session that is not live any more is not found."""
    key = {"tenant_id": request.tenant, "user_id": request.path["id"], "id": request.path["sid"]}
    if not await revoke_one(conn, request.context, key, "revoked"):
        raise not_found()
    return reply_to(request)


async def revoke_one(
    conn: Connection, context: Context, key: Mapping[str, str], reason: RevocationReason
) -> bool:
    """Revokes the session of this `tenant_id`, `user_id` and `id` with its event, if it is live;
    returns whether it was.
    """
    entry = _create_revoked_entry(context, key["tenant_id"], key["user_id"], key["id"], reason)
    now = datetime.now(UTC)
    return await REVOKE_ONE.fetch_one(conn, **key, now=now, **entry.parameters()) is not None


async def revoke_all_of_user(
    conn: Connection, context: Context, user_id: str, reason: RevocationReason
) -> list[OutboxEntry]:
    """Revokes a user's live sessions; returns the events, which the caller records."""
    rows = await REVOKE_ALL_OF_USER.fetch_all(
        conn, tenant_id=context.tenant(), user_id=user_id, now=datetime.now(UTC)
    )
    return _create_revoked_entries(context, rows, reason)


async def revoke_oldest_of_user(
    conn: Connection, context: Context, user_id: str, keep: int
) -> list[OutboxEntry]:
    """Revokes all live sessions of a user but the newest; returns the events, to be recorded."""
    key = {"tenant_id": context.tenant(), "user_id": user_id}
    await LOCK_USER.fetch_one(conn, **key)
    rows = await REVOKE_OLDEST_OF_USER.fetch_all(conn, **key, keep=keep, now=datetime.now(UTC))
    return _create_revoked_entries(context, rows, "revoked")


async def revoke_all_of_project(
    conn: Connection, context: Context, project_id: str
) -> list[OutboxEntry]:
    """Revokes all live sessions with a project; returns the events, which the caller records."""
    rows = await REVOKE_ALL_OF_PROJECT.fetch_all(
        conn, tenant_id=context.tenant(), project_id=project_id, now=datetime.now(UTC)
    )
    return _create_revoked_entries(context, rows, "project_deleted")


def _create_revoked_entries(
    context: Context, rows: Sequence[SessionRow], reason: RevocationReason
) -> list[OutboxEntry]:
    return [
        _create_revoked_entry(context, context.tenant(), row.user_id, row.id, reason)
        for row in sorted(rows, key=lambda row: (row.user_id, row.id))
    ]


def _create_revoked_entry(
    context: Context, tenant_id: str, user_id: str, session_id: str, reason: RevocationReason
) -> OutboxEntry:
    data = {"user_id": user_id, "session_id": session_id, "reason": reason}
    return create_entry(context, SessionRevoked, session_id, data, tenant_id=tenant_id)
