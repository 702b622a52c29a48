"""Rows as plain objects with the attributes that a SQLModel table declares.

The database has validated what it holds. An instance of a SQLModel table costs 37 us, because
pydantic validates it again and SQLAlchemy tracks it; such an object costs 0.3 us (SQLModel 0.0.50).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from contracts.models import Resource

from chassis.request import stored_json

P = ParamSpec("P")
R = TypeVar("R")


class Row:
    """`vars(row)` maps each column to its value; a column that is not there is an AttributeError.

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


def new_row(_: Callable[P, R], *__: P.args, **values: P.kwargs) -> R:
    """A row that is not in the database yet, typed as its table declares it."""
    return cast("R", Row({name.removesuffix("_"): value for name, value in values.items()}))


def changed_row(row: R, **values: Any) -> R:
    """A copy of a row with other values."""
    return cast("R", Row({**vars(row), **values}))


def to_resource(
    row: object, resource: type[Resource], json_columns: Collection[str] = (), **derived: Any
) -> dict[str, Any]:
    """What the API shows of a row: the columns that `resource` names, and what is derived.

    The text of `json_columns` is passed through undecoded.
    """
    values = {**vars(row), **derived}
    for name in json_columns:
        values[name] = stored_json(values[name])
    return {name: values[name] for name in resource.model_fields}
