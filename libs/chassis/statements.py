"""Statements: SQLAlchemy expressions compiled once to SQL text and run by asyncpg.

A fifth of the cost of an ORM session. Parameters are named `bindparam`s and given by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic

from asyncpg import Connection, Pool, Record
from sqlalchemy import BindParameter, Column, ColumnElement, Select, bindparam, func, select, true
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.expression import ClauseElement, ReturnsRows
from typing_extensions import TypeVar

from chassis.rows import record_class

R = TypeVar("R", default=Record)

_DIALECT = dialect()  # type: ignore[no-untyped-call]
_SET = "set__"  # no name that SQLAlchemy gives, as that of set_config(...)


class Statement(Generic[R]):
    """One SQL text with named parameters. `Statement.all` lists every one that was made.

    `row` is the type of its rows: a SQLModel table, or for a join a SQLModel class that names the
    selected columns (see `chassis.rows`); `columns` are then the names of its columns in order.
    Without it rows are asyncpg's Records.
    """

    all: ClassVar[list["Statement[Any]"]] = []

    __slots__ = ("_constants", "_order", "_record_class", "columns", "expression", "sql")

    def __init__(self, expression: ClauseElement, row: type[R] | None = None) -> None:
        compiled = expression.compile(dialect=_DIALECT)
        self.expression = expression
        self.sql = compiled.string
        names: Sequence[str] = compiled.positiontup or ()  # type: ignore[attr-defined]
        self._order = [name.removeprefix(_SET) for name in names]
        self._constants = {
            name: value
            for name, value in compiled.params.items()
            if not compiled.binds[name].required  # type: ignore[attr-defined]
        }
        self.columns: tuple[str, ...] = ()
        self._record_class = None
        if row is not None:
            assert isinstance(expression, ReturnsRows)
            self.columns = tuple(column.name for column in expression.exported_columns)
            self._record_class = record_class(self.columns)
        Statement.all.append(self)

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the text. Raises KeyError for a missing one."""
        constants = self._constants
        return [values[name] if name in values else constants[name] for name in self._order]

    async def fetch_all(self, conn: Connection | Pool, **values: Any) -> list[R]:
        rows: list[R] = await conn.fetch(
            self.sql, *self.arguments(values), record_class=self._record_class
        )
        return rows

    async def fetch_all_planned(self, conn: Connection, **values: Any) -> list[R]:
        """The same, planned for these values, at the price of a round trip.

        Of a statement that a connection has run a few times, PostgreSQL may keep one plan for
        whatever value comes. For texts that many rows contain, and others that none does, there is
        no such plan.
        """
        prepared = await conn.prepare(self.sql, record_class=self._record_class)
        rows: list[R] = await prepared.fetch(*self.arguments(values))
        return rows

    async def fetch_one(self, conn: Connection | Pool, **values: Any) -> R | None:
        row: R | None = await conn.fetchrow(
            self.sql, *self.arguments(values), record_class=self._record_class
        )
        return row

    async def fetch_value(self, conn: Connection | Pool, **values: Any) -> Any:
        """The first column of the first row."""
        return await conn.fetchval(self.sql, *self.arguments(values))

    async def execute(self, conn: Connection | Pool, **values: Any) -> int:
        """Runs it, and returns how many rows it touched."""
        status = await conn.execute(self.sql, *self.arguments(values))
        return int(status.rsplit(" ", 1)[-1])

    async def execute_many(self, conn: Connection, values: Sequence[Mapping[str, Any]]) -> None:
        """Runs it once for each set of values, in one round trip."""
        await conn.executemany(self.sql, [self.arguments(each) for each in values])


def any_of(rows: Select[Any]) -> ColumnElement[Any]:
    """For comparisons with `column ==`. The rows are selected once, before: those of
    `column IN (SELECT ... LIMIT)` may be selected again for each row of the table.
    """
    return func.any(func.array(rows.scalar_subquery()))


def parameters(columns: Iterable[Column[Any]]) -> dict[str, BindParameter[Any]]:
    """A parameter for each column, of its name, for `insert(...).values(...)`."""
    return {column.name: bindparam(column.name, type_=column.type) for column in columns}


def assignments(columns: Iterable[Column[Any]]) -> dict[str, BindParameter[Any]]:
    """The same for `update(...).values(...)`.

    SQLAlchemy reserves the columns' own names there, so the parameters have a prefix inside the
    expression; whoever runs the statement gives the values by the columns' names.
    """
    return {column.name: bindparam(_SET + column.name, type_=column.type) for column in columns}


PLAN_FOR_ANY_TENANT = Statement(
    select(func.set_config("plan_cache_mode", "force_generic_plan", true()))
)
"""For the rest of a transaction that looks for many rows of a tenant. A plan for this very tenant
believes that it has one row, if the statistics know all others, and compares each row that is
looked for with all that it has.
"""
