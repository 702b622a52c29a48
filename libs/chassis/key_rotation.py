"""Key rotation: secrets are encrypted again under the first encryption key, so that others can go.

Batch by batch, each committed by itself: stopped half-way, it continues where it was. It waits for
a row only while it holds none, so it cannot deadlock with the running service.
"""

from collections.abc import Callable, Mapping
from typing import Any

from asyncpg import Record
from sqlalchemy import ARRAY, Column, Integer, Text, bindparam, func, or_, select, tuple_, update

from chassis.database import Connection
from chassis.encryption import DERIVED, Keyring, SecretId
from chassis.statements import Statement

BATCH = 500


class KeyRotation:
    """The rotation of one encrypted column, null where there is no secret any more.

    `start` maps the columns that name a row, in order, to values that come before all others.
    `secret_id` names the secret of a row. The statements read the rows of all tenants: they
    share the installation's encryption keys.
    """

    def __init__(
        self,
        encrypted: Column[Any],
        start: Mapping[Column[Any], Any],
        secret_id: Callable[[Record], SecretId],
    ) -> None:
        key = tuple(start)
        self._names = tuple(column.name for column in key)
        self._start = tuple(start.values())
        self._encrypted = encrypted.name
        self._secret_id = secret_id
        outdated = (
            select(*key, encrypted)
            .where(
                or_(
                    func.split_part(encrypted, ".", 1) != bindparam("active", type_=Text),
                    func.split_part(encrypted, ".", 2) != DERIVED,
                )
            )
            .order_by(*key)
        )
        after = tuple_(*(bindparam(f"after_{each.name}", type_=each.type) for each in key))
        renewed = (
            func.unnest(
                *(bindparam(f"{each.name}s", type_=ARRAY(each.type)) for each in key),
                bindparam("encrypted", type_=ARRAY(Text)),
            )
            .table_valued(*self._names, "encrypted", name="renewed")
            .render_derived()
        )
        self.lock_batch = Statement(
            outdated.where(tuple_(*key) > after)
            .limit(bindparam("batch", type_=Integer))
            .with_for_update(key_share=True, skip_locked=True)
        )
        self.lock_one = Statement(outdated.limit(1).with_for_update(key_share=True))
        self.update = Statement(
            update(encrypted.table)
            .where(*(each == renewed.c[each.name] for each in key))
            .values({encrypted: renewed.c.encrypted})
        )

    async def __call__(self, conn: Connection, keyring: Keyring) -> int:
        """Encrypts again what the first key has not, or not by a derived one; returns how many.

        Raises KeyError if a key of that id is not among the given ones.
        """
        rotated, position = 0, self._start
        while rows := await self._batch(conn, keyring, self.lock_batch, *position):
            rotated += len(rows)
            position = tuple(rows[-1][name] for name in self._names)
        # Rows that were locked when we came by, or that an older process has encrypted meanwhile.
        while rows := await self._batch(conn, keyring, self.lock_one):
            rotated += len(rows)
        return rotated

    async def _batch(
        self, conn: Connection, keyring: Keyring, lock: Statement, *position: Any
    ) -> list[Record]:
        after = {f"after_{name}": value for name, value in zip(self._names, position, strict=False)}
        async with conn.transaction():
            rows = await lock.fetch_all(conn, active=keyring.active, batch=BATCH, **after)
            if rows:
                values = {f"{name}s": [row[name] for row in rows] for name in self._names}
                encrypted = [
                    keyring.reencrypt(row[self._encrypted], self._secret_id(row)) for row in rows
                ]
                await self.update.execute(conn, **values, encrypted=encrypted)
        return rows
