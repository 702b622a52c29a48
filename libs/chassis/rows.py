"""Rows with the attributes that a SQLModel table declares.

The database has validated what it holds. An instance of a SQLModel table costs 37 us, because
pydantic validates it again and SQLAlchemy tracks it (SQLModel 0.0.50). A row that is read is
asyncpg's own record and costs nothing; one that is made for a write is a plain object.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from operator import itemgetter
from typing import Any, ParamSpec, TypeVar, cast

from asyncpg import Record
from contracts.models import Resource

from chassis.request import stored_json

P = ParamSpec("P")
R = TypeVar("R")


class Row:
    """A row for a write. `vars(row)` maps each column to its value.

    A JSON column holds its text. `metadata_` is the column `metadata`, as that word is taken in
    SQLModel.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    @property
    def metadata_(self) -> Any:
        return self.__dict__["metadata"]

    def __repr__(self) -> str:
        """Without the values: some of them are secret."""
        return f"Row({', '.join(vars(self))})"


class NamedRecord(Record):  # type: ignore[misc] # asyncpg has no types
    """A record whose columns are read-only attributes, for whatever statement. `vars(row)` and
    `metadata_` are as of `Row`.

    asyncpg prepares a statement again whose columns a migration has changed, and then forgets the
    class that the statement asked for (0.32.0): its rows are of the class of the connection, this.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name.removesuffix("_")]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return dict(self.items())

    def __repr__(self) -> str:
        """Without the values: some of them are secret."""
        return f"Row({', '.join(self.keys())})"


@cache
def record_class(columns: tuple[str, ...]) -> type[Record]:
    """The same for these columns in this order, which costs less to read."""
    attributes: dict[str, Any] = {
        name: property(itemgetter(position)) for position, name in enumerate(columns)
    }
    if "metadata" in attributes:
        attributes["metadata_"] = attributes["metadata"]
    return type("Row", (NamedRecord,), {"__slots__": (), **attributes})


def new_row(_: Callable[P, R], *__: P.args, **values: P.kwargs) -> R:
    """A row that is not in the database yet, typed as its table declares it."""
    return cast("R", Row({name.removesuffix("_"): value for name, value in values.items()}))


def changed_row(row: R, **values: Any) -> R:
    """A copy of a row with other values."""
    return cast("R", Row({**vars(row), **values}))


@cache
def _reader(
    resource: type[Resource], derived: tuple[str, ...]
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The fields of a resource that are not derived, and a function that reads them of a row."""
    names = tuple(name for name in resource.model_fields if name not in derived)
    return names, itemgetter(*names)


def to_resource(
    row: object, resource: type[Resource], json_columns: Collection[str] = (), **derived: Any
) -> dict[str, Any]:
    """What the API shows of a row: the columns that `resource` names, and what is derived.

    The text of `json_columns` is passed through undecoded.
    """
    names, read = _reader(resource, tuple(derived))
    values = dict(zip(names, read(row if isinstance(row, Record) else vars(row)), strict=True))
    for name in json_columns:
        values[name] = stored_json(values[name])
    if not derived:
        return values
    values |= derived
    return {name: values[name] for name in resource.model_fields}
