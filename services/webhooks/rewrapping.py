"""Rewrapping: webhook secrets sealed anew under the first encryption key, so that others can go.

Batch by batch, each committed by itself: stopped half-way, it goes on where it was. It waits for a
row only while it holds none, and so deadlocks with nothing that goes on beside it.
"""

from datetime import UTC, datetime
from typing import Any

from asyncpg import Record
from chassis.database import Connection
from chassis.keys import Keys
from chassis.statements import Statement
from sqlalchemy import ARRAY, Integer, Text, bindparam, func, select, tuple_, update

from webhooks.tables import SECRETS
from webhooks.webhooks import sealed_for

BATCH = 500

_KEY = (SECRETS.c.tenant_id, SECRETS.c.webhook_id, SECRETS.c.created_at)
_NAMES = tuple(column.name for column in _KEY)
_START = {
    "after_tenant_id": "",
    "after_webhook_id": "",
    "after_created_at": datetime.min.replace(tzinfo=UTC),
}
_STALE = (
    select(*_KEY, SECRETS.c.sealed)
    .where(func.split_part(SECRETS.c.sealed, ".", 1) != bindparam("active", type_=Text))
    .order_by(*_KEY)
)
_after = tuple_(*(bindparam(f"after_{column.name}", type_=column.type) for column in _KEY))
_anew = (
    func.unnest(
        *(bindparam(f"{column.name}s", type_=ARRAY(column.type)) for column in _KEY),
        bindparam("sealed", type_=ARRAY(Text)),
    )
    .table_valued(*_NAMES, "sealed", name="anew")
    .render_derived()
)

# Of all tenants: they share the installation's encryption keys.
CLAIM = Statement(
    _STALE.where(tuple_(*_KEY) > _after)
    .limit(bindparam("batch", type_=Integer))
    .with_for_update(key_share=True, skip_locked=True)
)
CLAIM_BUSY = Statement(_STALE.limit(1).with_for_update(key_share=True))
RESEAL = Statement(
    update(SECRETS)
    .where(*(column == _anew.c[column.name] for column in _KEY))
    .values(sealed=_anew.c.sealed)
)


async def rewrap(conn: Connection, keys: Keys) -> int:
    """Seals anew what another key than the first has sealed; answers how many secrets.

    Raises KeyError if a key of that id is not among the given ones.
    """
    rewrapped, place = 0, _START
    while rows := await _batch(conn, keys, CLAIM, **place):
        rewrapped += len(rows)
        place = {f"after_{name}": rows[-1][name] for name in _NAMES}
    # What others held when it was passed by, or was sealed behind us by a process of old.
    while rows := await _batch(conn, keys, CLAIM_BUSY):
        rewrapped += len(rows)
    return rewrapped


async def _batch(conn: Connection, keys: Keys, claim: Statement, **place: Any) -> list[Record]:
    async with conn.transaction():
        rows = await claim.rows(conn, active=keys.active, batch=BATCH, **place)
        if rows:
            values = {f"{name}s": [row[name] for row in rows] for name in _NAMES}
            sealed = [keys.reseal(row["sealed"], sealed_for(row["webhook_id"])) for row in rows]
            await RESEAL.run(conn, **values, sealed=sealed)
    return rows
