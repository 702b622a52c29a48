"""A page by number, far behind: blocks of the list are stepped over by their counts.

The counts and the rows are read by one statement, so they are of one moment and the page is exact.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)


def skip_blocks(
    page: Select[Any], key: ColumnElement[str], blocks: Select[Any], *, descending: bool
) -> Select[Any]:
    """The rows of `page`, which is in the order of `key`, from the parameter `offset` on.

    `blocks` selects `key`, where a block begins; `number`, how many rows there are from there on;
    and `total`, how many there are at all.
    """
    counted = blocks.subquery("blocks")
    before = counted.c.number if descending else counted.c.total - counted.c.number
    offset = cast(bindparam("offset"), BigInteger)
    step = (
        select(counted.c.key, before.label("before"))
        .where(before <= offset)
        .order_by(before.desc())
        .limit(literal_column("1"))
        .cte("step")
    )

    def of_step(column: ColumnElement[Any], otherwise: str) -> ColumnElement[Any]:
        return func.coalesce(select(column).scalar_subquery(), literal_column(otherwise))

    begin = of_step(step.c.key, "'~'" if descending else "''")
    return page.where(key < begin if descending else key >= begin).offset(
        offset - of_step(step.c.before, "0")
    )
