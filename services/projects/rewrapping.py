"""Rewrapping: private keys sealed anew under the first encryption key, so that others can go.

Batch by batch, each committed by itself: stopped half-way, it goes on where it was. It waits for a
row only while it holds none, and so deadlocks with nothing that goes on beside it.
"""

from typing import Any

from asyncpg import Record
from chassis.database import ID, Connection
from chassis.keys import Keys
from chassis.statements import Statement
from sqlalchemy import ARRAY, Integer, Text, bindparam, func, select, tuple_, update

from projects.signing_keys import bound_to
from projects.tables import SIGNING_KEYS

BATCH = 500

_KEY = (SIGNING_KEYS.c.tenant_id, SIGNING_KEYS.c.project_id, SIGNING_KEYS.c.id)
_NAMES = tuple(column.name for column in _KEY)
# A key that will sign no more has no private half: null, and so never stale.
_STALE = (
    select(*_KEY, SIGNING_KEYS.c.private_key)
    .where(func.split_part(SIGNING_KEYS.c.private_key, ".", 1) != bindparam("active", type_=Text))
    .order_by(*_KEY)
)
_after = tuple_(*(bindparam(f"after_{name}", type_=ID) for name in _NAMES))
_anew = (
    func.unnest(
        *(bindparam(f"{name}s", type_=ARRAY(ID)) for name in _NAMES),
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
    update(SIGNING_KEYS)
    .where(*(column == _anew.c[column.name] for column in _KEY))
    .values(private_key=_anew.c.sealed)
)


async def rewrap(conn: Connection, keys: Keys) -> int:
    """Seals anew what another key than the first has sealed; answers how many private keys.

    Raises KeyError if a key of that id is not among the given ones.
    """
    rewrapped, place = 0, dict.fromkeys((f"after_{name}" for name in _NAMES), "")
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
            sealed = [keys.reseal(row["private_key"], bound_to(row["id"])) for row in rows]
            await RESEAL.run(conn, **values, sealed=sealed)
    return rows
