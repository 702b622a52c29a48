"""Rows that PostgreSQL writes as JSON: the very bytes that `chassis.request.json_bytes` would make.

To decode fifty rows and to encode them again costs a service three times as much as to pass on
their text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Lateral,
    Select,
    Text,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy import cast as sql_cast

Shown = Mapping[str, ColumnElement[Any] | Mapping[str, ColumnElement[Any]]]
"""What an object has: the column of each member, or those of an object inside it."""

_SECONDS: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""")
_NO_FRACTION: ColumnElement[str] = literal_column("'.000000'")
_NOTHING: ColumnElement[str] = literal_column("''")


def select_json(source: FromClause, shown: Shown, *columns: ColumnElement[Any]) -> Select[Any]:
    """Selects `json`, the object of each row of the source, and the columns beside it."""
    members: list[ColumnElement[Any]] = []
    for name, each in shown.items():
        if isinstance(each, Mapping):
            inner = _lateral([_written(*pair) for pair in each.items()], f"{name}_object")
            source = source.join(inner, true())
            members.append(inner.table_valued().label(name))
        else:
            members.append(_written(name, each))
    whole = _lateral(members, "object")
    text = sql_cast(func.row_to_json(whole.table_valued()), Text)
    return select(text.label("json"), *columns).select_from(source.join(whole, true()))


def _lateral(members: Sequence[ColumnElement[Any]], name: str) -> Lateral:
    """A row of columns of other tables: it reads none of its own."""
    return cast("Lateral", select(*members).correlate_except(None).lateral(name))


def _written(name: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Times as orjson writes them: in UTC, with six digits of a second or none."""
    if not isinstance(column.type, DateTime):
        return column.label(name)
    text = func.to_char(func.timezone(literal_column("'UTC'"), column), _SECONDS)
    return func.replace(text, _NO_FRACTION, _NOTHING).label(name)
