"""What every resource needs: create, get, lock, update and delete one row by its key.

A change and its event are one statement. The key is the table's primary key, the tenant first.
"""

from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

from chassis.database import Connection
from chassis.merge_patch import check_version
from chassis.request import Request
from chassis.rows import to_resource
from chassis.statements import Statement, assignments, parameters
from chassis.tables import table
from contracts.models import Resource
from contracts.problems import not_found
from sqlalchemy import ColumnElement, bindparam, delete, insert, select, update
from sqlalchemy.dialects.postgresql import JSON
from sqlmodel import SQLModel

from outbox.record import OutboxEntry, with_outbox_entry

R = TypeVar("R", bound=SQLModel)


class Crud(Generic[R]):
    """The statements of one table.

    `resource` is what the API shows of a row. `hidden` columns are not read, `fixed` columns not
    updated. `locks_key`: whoever holds the row keeps out also those who add rows that refer to it.
    `read_as`: expressions that are read in place of columns.
    """

    def __init__(
        self,
        model: type[R],
        resource: type[Resource],
        *,
        hidden: Collection[str] = (),
        fixed: Collection[str] = ("created_at",),
        locks_key: bool = False,
        read_as: Mapping[str, ColumnElement[Any]] | None = None,
    ) -> None:
        self.table = table(model)
        self.resource = resource
        stored = [column for column in self.table.c if column.computed is None]
        key = list(self.table.primary_key.columns)
        where = [column == bindparam(column.name, type_=column.type) for column in key]
        changeable = [each for each in stored if each not in key and each.name not in fixed]
        self.columns = [column for column in stored if column.name not in hidden]
        self.json_columns = tuple(
            column.name for column in self.columns if isinstance(column.type, JSON)
        )
        read = read_as or {}
        found = select(*(read.get(each.name, each) for each in self.columns)).where(*where)
        self.GET = Statement(found, model)
        self.LOCK = Statement(found.with_for_update(key_share=not locks_key, of=self.table), model)
        self.CREATE = Statement(
            with_outbox_entry(
                insert(self.table).values(parameters(stored)).returning(key[-1]).cte("changed")
            )
        )
        self.UPDATE = Statement(
            with_outbox_entry(
                update(self.table)
                .where(*where)
                .values(assignments(changeable))
                .returning(key[-1])
                .cte("changed")
            )
        )
        self.DELETE = Statement(delete(self.table).where(*where))

    def shown(self, row: R, **derived: Any) -> dict[str, Any]:
        """The row as the API shows it."""
        return to_resource(row, self.resource, self.json_columns, **derived)

    async def get(self, conn: Connection, **key: str) -> R:
        """Raises Problem (404)."""
        row = await self.GET.fetch_one(conn, **key)
        if row is None:
            raise not_found()
        return row

    async def lock(self, conn: Connection, request: Request[Any, Any], **key: str) -> R:
        """The row, held until the transaction ends. Raises Problem: 404, and 412 by If-Match."""
        row = await self.LOCK.fetch_one(conn, **key)
        if row is None:
            raise not_found()
        version = vars(row).get("version")
        if version is not None:
            check_version(request.context, version)
        return row

    async def create(self, conn: Connection, row: R, entry: OutboxEntry) -> None:
        """Raises asyncpg.UniqueViolationError."""
        await self.CREATE.execute(conn, **vars(row), **entry.parameters())

    async def update(self, conn: Connection, row: R, entry: OutboxEntry) -> None:
        """Raises asyncpg.UniqueViolationError."""
        await self.UPDATE.execute(conn, **vars(row), **entry.parameters())

    async def delete(self, conn: Connection, row: R) -> None:
        """Only the row; its event is for the caller to record, after those of what went with it."""
        await self.DELETE.execute(conn, **vars(row))
