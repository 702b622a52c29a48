"""Sessions of users: which are live, and how they are revoked.

Live is active, not expired, and not ended by a cascade. Of very many sessions one batch is revoked
at once and a cascade does the rest; each is revoked once, with one event.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from chassis.database import TIME, Connection
from chassis.json_rows import select_json
from chassis.request import Reply, Request, reply_to
from chassis.rows import to_resource
from chassis.statements import Statement, any_of
from chassis.unit_of_work import single_statement, transactional
from contracts.context import Context
from contracts.problems import not_found
from contracts.sessions import RevocationReason, Session, SessionRevoked
from outbox.cascade import BATCH, Cascade, request_cascade
from outbox.record import OutboxEntry, create_entry, record, with_outbox_entry
from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    select,
    update,
)

from identity.cascades import (
    IS_SESSION_ENDED,
    SESSIONS_OF_PROJECT,
    SESSIONS_OF_USER,
    USER_OF_SESSION,
)
from identity.tables import SESSIONS, USERS, SessionRow

MAX_LISTED = 100

_STATUS = case((IS_SESSION_ENDED, literal_column("'revoked'")), else_=SESSIONS.c.status)
COLUMNS = [
    _STATUS.label("status") if name == "status" else SESSIONS.c[name]
    for name in Session.model_fields
]
# The expression of an index: written out, as an index knows no parameters.
LIVE_UNTIL = case((SESSIONS.c.status == literal_column("'active'"), SESSIONS.c.expires_at))
_IS_STORED_LIVE = bindparam("now", type_=TIME) < LIVE_UNTIL
IS_LIVE = (_IS_STORED_LIVE, not_(IS_SESSION_ENDED))
_OF_USER = (
    SESSIONS.c.tenant_id == bindparam("tenant_id"),
    SESSIONS.c.user_id == bindparam("user_id"),
)

LIVE_AS_JSON = (
    # Stored as active: those that a cascade ends are not live.
    select_json(SESSIONS, {name: SESSIONS.c[name] for name in Session.model_fields})
    .where(*_OF_USER, *IS_LIVE)
    .order_by(SESSIONS.c.id.desc())
    .limit(literal_column(str(MAX_LISTED + 1)))
)
COUNT_LIVE = Statement(select(func.count()).select_from(SESSIONS).where(*_OF_USER, *IS_LIVE))
LOCK_USER = Statement(
    select(USERS.c.id)
    .where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
    .with_for_update(key_share=True)
)
_ANY = "~"
"""Behind every identifier."""


def _revoke(some: Select[Any]) -> Statement[SessionRow]:
    """Revokes those of some sessions, selected by their ids, that nobody else revokes."""
    return Statement(
        update(SESSIONS)
        .where(
            SESSIONS.c.tenant_id == bindparam("tenant_id"),
            SESSIONS.c.id == any_of(some),
            SESSIONS.c.status == "active",
        )
        .values(status="revoked")
        .returning(SESSIONS.c.user_id, SESSIONS.c.id),
        SessionRow,
    )


def _revoke_some(*of: ColumnElement[bool]) -> Statement[SessionRow]:
    # Locked at once: what is revoked meanwhile is not counted, so fewer than `at_most` are all.
    some = select(SESSIONS.c.id).where(*of, _IS_STORED_LIVE).with_for_update(key_share=True)
    return _revoke(some.limit(bindparam("at_most")))


REVOKE_SOME_OF_USER = _revoke_some(
    *_OF_USER, SESSIONS.c.id <= bindparam("last_id", type_=SESSIONS.c.id.type)
)
REVOKE_SOME_OF_PROJECT = _revoke_some(
    SESSIONS.c.tenant_id == bindparam("tenant_id"),
    SESSIONS.c.project_id == bindparam("project_id"),
)
REVOKE_OLDEST_OF_USER = _revoke(
    select(SESSIONS.c.id)
    .where(*_OF_USER, *IS_LIVE)
    .order_by(SESSIONS.c.id.desc())
    .offset(bindparam("keep"))
    .limit(bindparam("at_most"))
)
GET_NEWEST_LIVE = Statement(select(func.max(SESSIONS.c.id)).where(*_OF_USER, _IS_STORED_LIVE))
REVOKE_ONE = Statement(
    with_outbox_entry(
        update(SESSIONS)
        .where(
            *_OF_USER, SESSIONS.c.id == bindparam("id"), *IS_LIVE, exists().where(USER_OF_SESSION)
        )
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
    """Revokes the live sessions of a user whose row is locked; returns the events, which the caller
    records: of a batch, if there are more.
    """
    key = {"tenant_id": context.tenant(), "user_id": user_id}
    now = datetime.now(UTC)
    rows = await REVOKE_SOME_OF_USER.fetch_all(conn, **key, last_id=_ANY, now=now, at_most=BATCH)
    if len(rows) == BATCH:
        # By what is there rather than by a clock: the user's row is locked, so nothing is added.
        newest = await GET_NEWEST_LIVE.fetch_value(conn, **key, now=now)
        await request_cascade(
            conn, context, SESSIONS_OF_USER, user_id, detail=reason, last_id=newest
        )
    return create_revoked_entries(context, rows, reason)


async def revoke_more_of_user(
    conn: Connection, context: Context, cascade: Cascade, at_most: int
) -> bool:
    """A step: see `outbox.cascade`."""
    rows = await REVOKE_SOME_OF_USER.fetch_all(
        conn,
        tenant_id=cascade.tenant_id,
        user_id=cascade.resource_id,
        last_id=cascade.last_id,
        now=datetime.now(UTC),
        at_most=at_most,
    )
    reason = cast("RevocationReason", cascade.detail)
    await record(conn, create_revoked_entries(context, rows, reason))
    return len(rows) == at_most


async def revoke_oldest_of_user(
    conn: Connection, context: Context, user_id: str, keep: int
) -> list[OutboxEntry]:
    """Revokes the live sessions of a user but the newest, a batch at most: the next sign-in goes
    on. Returns the events, to be recorded.
    """
    key = {"tenant_id": context.tenant(), "user_id": user_id}
    await LOCK_USER.fetch_one(conn, **key)
    rows = await REVOKE_OLDEST_OF_USER.fetch_all(
        conn, **key, keep=keep, now=datetime.now(UTC), at_most=BATCH
    )
    return create_revoked_entries(context, rows, "revoked")


async def revoke_all_of_project(
    conn: Connection, context: Context, project_id: str
) -> list[OutboxEntry]:
    """Revokes the live sessions with a project; returns the events, which the caller records: of a
    batch, if there are more.
    """
    entries, more = await _revoke_some_of_project(conn, context, project_id, BATCH)
    if more:
        await request_cascade(conn, context, SESSIONS_OF_PROJECT, project_id)
    return entries


async def revoke_more_of_project(
    conn: Connection, context: Context, cascade: Cascade, at_most: int
) -> bool:
    """A step: see `outbox.cascade`."""
    entries, more = await _revoke_some_of_project(conn, context, cascade.resource_id, at_most)
    await record(conn, entries)
    return more


async def _revoke_some_of_project(
    conn: Connection, context: Context, project_id: str, at_most: int
) -> tuple[list[OutboxEntry], bool]:
    rows = await REVOKE_SOME_OF_PROJECT.fetch_all(
        conn,
        tenant_id=context.tenant(),
        project_id=project_id,
        now=datetime.now(UTC),
        at_most=at_most,
    )
    return create_revoked_entries(context, rows, "project_deleted"), len(rows) == at_most


def create_revoked_entries(
    context: Context, rows: Sequence[SessionRow], reason: RevocationReason
) -> list[OutboxEntry]:
    """The events of sessions that are revoked."""
    return [
        _create_revoked_entry(context, context.tenant(), row.user_id, row.id, reason)
        for row in sorted(rows, key=lambda row: (row.user_id, row.id))
    ]


def _create_revoked_entry(
    context: Context, tenant_id: str, user_id: str, session_id: str, reason: RevocationReason
) -> OutboxEntry:
    data = {"user_id": user_id, "session_id": session_id, "reason": reason}
    return create_entry(context, SessionRevoked, session_id, data, tenant_id=tenant_id)
