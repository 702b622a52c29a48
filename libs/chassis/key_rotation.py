"""Rewrapping: secrets sealed anew under the first encryption key, so that others can go.

Batch by batch, each committed by itself: stopped half-way, it goes on where it was. It waits for a
row only while it holds none, and so deadlocks with nothing that goes on beside it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from asyncpg import Record
from sqlalchemy import ARRAY, Column, Integer, Text, bindparam, func, select, tuple_, update

from chassis.database import Connection
from chassis.encryption import Keyring
from chassis.statements import Statement

BATCH = 500


class KeyRotation:
    """Of one column `sealed`, null where nothing is sealed any more.

    `start` maps the columns that name a row, in order, to values that come before all others.
    `bound_to` is what the secret of a row is sealed for. The statements meet all tenants: they
    share the installation's encryption keys.
    """

    def __init__(
        self,
        sealed: Column[Any],
        start: Mapping[Column[Any], Any],
        associated_data: Callable[[Record], str],
    ) -> None:
        key = tuple(start)
        self._names = tuple(column.name for column in key)
        self._start = tuple(start.values())
        self._sealed = sealed.name
        self._bound_to = associated_data
        stale = (
            select(*key, sealed)
            .where(func.split_part(sealed, ".", 1) != bindparam("active", type_=Text))
            .order_by(*key)
        )
        after = tuple_(*(bindparam(f"after_{each.name}", type_=each.type) for each in key))
        anew = (
            func.unnest(
                *(bindparam(f"{each.name}s", type_=ARRAY(each.type)) for each in key),
                bindparam("sealed", type_=ARRAY(Text)),
            )
            .table_valued(*self._names, "sealed", name="anew")
            .render_derived()
        )
        self.claim = Statement(
            stale.where(tuple_(*key) > after)
            .limit(bindparam("batch", type_=Integer))
            .with_for_update(key_share=True, skip_locked=True)
        )
        self.claim_busy = Statement(stale.limit(1).with_for_update(key_share=True))
        self.reseal = Statement(
            update(sealed.table)
            .where(*(each == anew.c[each.name] for each in key))
            .values({sealed: anew.c.sealed})
        )

    async def __call__(self, conn: Connection, keys: Keyring) -> int:
        """Seals anew what another key than the first has sealed; answers how many secrets.

        Raises KeyError if a key of that id is not among the given ones.
        """
        rewrapped, place = 0, self._start
        while rows := await self._batch(conn, keys, self.claim, *place):
            rewrapped += len(rows)
            place = tuple(rows[-1][name] for name in self._names)
        # What others held when it was passed by, or was sealed behind us by a process of old.
        while rows := await self._batch(conn, keys, self.claim_busy):
            rewrapped += len(rows)
        return rewrapped

    async def _batch(
        self, conn: Connection, keys: Keyring, claim: Statement, *place: Any
    ) -> list[Record]:
        after = {f"after_{name}": value for name, value in zip(self._names, place, strict=False)}
        async with conn.transaction():
            rows = await claim.rows(conn, active=keys.active, batch=BATCH, **after)
            if rows:
                values = {f"{name}s": [row[name] for row in rows] for name in self._names}
                sealed = [keys.reseal(row[self._sealed], self._bound_to(row)) for row in rows]
                await self.reseal.run(conn, **values, sealed=sealed)
        return rows
