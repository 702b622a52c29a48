"""Deletes what is older than it must be, batch by batch: nobody waits for more than one of them."""

from typing import Any

from sqlalchemy import ColumnElement, Table, delete, literal_column, select, tuple_

from chassis.database import Pool
from chassis.statements import Statement

BATCH = 5_000


def delete_batch(table: Table, condition: ColumnElement[bool]) -> Statement:
    """Deletes BATCH of the rows, of all tenants; rows that somebody works on are left alone."""
    key = table.primary_key.columns
    some = select(*key).where(condition).limit(literal_column(str(BATCH)))
    return Statement(delete(table).where(tuple_(*key).in_(some.with_for_update(skip_locked=True))))


async def purge(pool: Pool, statement: Statement, **values: Any) -> int:
    """Runs a `delete_batch` until there is no more, each time a transaction of its own.

    Returns how many rows were deleted.
    """
    deleted = 0
    while True:
        batch = await statement.execute(pool, **values)
        deleted += batch
        if batch < BATCH:
            return deleted
