"""How many rows a text search finds, exact up to a bound, at a cost that does not grow with them.

A text that many rows contain is counted along the order of the list, one that fewer contain in an
index of a part of the rows, and only one that few contain in the index of all.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal_column, select

NEAR = 1_000
"""The first rows of the list are looked at in any case: they tell how dense the matches are."""
DENSE = 80
"""From so many among them on the order is followed, for as many rows as this density needs."""


def count_found(
    rows: Select[Any],
    order: Sequence[ColumnElement[Any]],
    found: ColumnElement[bool],
    sample: ColumnElement[bool] | None,
    bound: int,
) -> Select[Any]:
    """A query for the number of `rows` that are `found`, but no more than `bound` + 1.

    `sample` is the condition of the index that has a part of the rows, if there is one.
    """
    most: ColumnElement[int] = literal_column(str(bound + 1))
    looked = rows.with_only_columns(found.label("is_found")).order_by(*order)

    def first(number: int) -> ColumnElement[bool]:
        """Whether each of the first rows is found: a limit keeps the condition out of the scan."""
        return looked.limit(literal_column(str(number))).subquery().c.is_found

    def count(some: Select[Any]) -> Select[Any]:
        return select(func.count().label("number")).select_from(some.limit(most).subquery())

    is_near = first(NEAR)
    near = select(func.count().label("looked"), func.count().filter(is_near).label("hits")).cte(
        "near"
    )
    one: ColumnElement[int] = literal_column("1")
    along = count(select(one).where(first(bound * NEAR // DENSE))).subquery()
    is_dense = select(near.c.hits).scalar_subquery() >= literal_column(str(DENSE))
    counts = [
        select(near.c.hits).where(near.c.looked < literal_column(str(NEAR))).scalar_subquery(),
        select(along.c.number).where(is_dense, along.c.number == most).scalar_subquery(),
    ]
    if sample is not None:
        part = count(rows.with_only_columns(one).where(found, sample)).subquery()
        counts.append(select(part.c.number).where(part.c.number == most).scalar_subquery())
    counts.append(count(rows.with_only_columns(one).where(found)).scalar_subquery())
    return select(func.coalesce(*counts))
