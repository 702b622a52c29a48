"""The descendants of a key: the keys that it made, those that they made, and so on.

Revoked in bounded steps, each a transaction with one event for each key. What is left after the
first step is continued in the background, from a row that is deleted with the last of them.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from chassis.database import TIME, Connection, Pool
from chassis.rpc.client import decode_context, encode_context
from chassis.statements import Statement
from contracts.context import Context
from outbox.record import record
from sqlalchemy import Integer, Text, any_, bindparam, delete, exists, func, select, true, update
from sqlalchemy.dialects.postgresql import insert

from projects.keys.key_rows import COLUMNS, revoked_entry
from projects.tables import API_KEYS, KEY_REVOCATIONS, ApiKeyRow, KeyRevocationRow

BATCH = 1000
CONTINUE_SECONDS = 0.5

_OF_TENANT = API_KEYS.c.tenant_id == bindparam("tenant_id")
_KEY = (API_KEYS.c.id, API_KEYS.c.status)
_made = (
    select(*_KEY)
    .where(_OF_TENANT, API_KEYS.c.created_by == bindparam("maker_id"))
    .cte("descendants", recursive=True)
)
# OFFSET 0: one look in the index for each key, however long the chain is that a thief has made.
_made_by_these = (
    select(*_KEY).where(_OF_TENANT, API_KEYS.c.created_by == _made.c.id).offset(0).lateral("made")
)
_descendants = _made.union(
    select(_made_by_these.c.id, _made_by_these.c.status).select_from(
        _made.join(_made_by_these, true())
    )
)
_due = select(_descendants.c.id).where(_descendants.c.status == "active")
_batch = _due.limit(bindparam("batch", type_=Integer))
# In one order, so that two revocations at once wait for each other.
_active = (
    select(API_KEYS.c.tenant_id, API_KEYS.c.id)
    .where(
        _OF_TENANT,
        API_KEYS.c.id == any_(func.array(_batch.scalar_subquery())),
        API_KEYS.c.status == "active",
    )
    .order_by(API_KEYS.c.id)
    .with_for_update()
    .cte("active")
)
REVOKE_BATCH = Statement(
    update(API_KEYS)
    .where(API_KEYS.c.tenant_id == _active.c.tenant_id, API_KEYS.c.id == _active.c.id)
    .values(status="revoked", revoked_at=bindparam("now", type_=TIME))
    .returning(*COLUMNS),
    ApiKeyRow,
)
IS_ANY_ACTIVE = Statement(select(exists(_due)))
CREATE_REVOCATION = Statement(
    insert(KEY_REVOCATIONS)
    .values(
        tenant_id=bindparam("tenant_id"),
        key_id=bindparam("key_id"),
        context=bindparam("context", type_=Text),
    )
    .on_conflict_do_nothing()
)
TAKE_REVOCATION = Statement(
    select(KEY_REVOCATIONS).limit(1).with_for_update(skip_locked=True), KeyRevocationRow
)
DELETE_REVOCATION = Statement(
    delete(KEY_REVOCATIONS).where(
        KEY_REVOCATIONS.c.tenant_id == bindparam("tenant_id"),
        KEY_REVOCATIONS.c.key_id == bindparam("key_id"),
    )
)


async def revoke_descendants(conn: Connection, context: Context, key_id: str) -> None:
    """Revokes a batch; more than that is left to `continue_revocation`.

    The caller has locked and revoked the key itself.
    """
    if await _revoke_batch(conn, context, key_id):
        await CREATE_REVOCATION.execute(
            conn,
            tenant_id=context.tenant(),
            key_id=key_id,
            context=encode_context(context),
        )


async def continue_revocation(pool: Pool, after_commit: Callable[[], None]) -> None:
    """The next batches of every revocation that is not complete; another replica's are skipped."""
    while True:
        async with pool.acquire() as conn, conn.transaction():
            is_left = await _continue_one(conn)
        if not is_left:
            return
        after_commit()


async def _continue_one(conn: Connection) -> bool:
    """Whether there was something to do."""
    row = await TAKE_REVOCATION.fetch_one(conn)
    if row is None:
        return False
    context = decode_context(row.context)
    if not await _revoke_batch(conn, context, row.key_id):
        await DELETE_REVOCATION.execute(conn, tenant_id=row.tenant_id, key_id=row.key_id)
    return True


async def _revoke_batch(conn: Connection, context: Context, key_id: str) -> bool:
    """Whether there may be more.

    A key that was being made while its maker's row was awaited is found by the next statement.
    """
    left, scope = BATCH, {"tenant_id": context.tenant(), "maker_id": key_id}
    while left > 0:
        rows = await REVOKE_BATCH.fetch_all(conn, **scope, batch=left, now=datetime.now(UTC))
        if not rows and not await IS_ANY_ACTIVE.fetch_value(conn, **scope):
            return False
        await record(conn, [revoked_entry(context, row) for row in rows])
        left -= len(rows)
    return True
