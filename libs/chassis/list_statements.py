"""The statements of a list: its pages, and how many rows there are.

Made once for each set of filters, order and start, and kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, Literal

from contracts.models import MAX_LIMIT
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    true,
    tuple_,
)

from chassis.block_offset import skip_blocks
from chassis.json_rows import Shown, select_json
from chassis.search_count import count_found
from chassis.statements import R, Statement, any_of

MAX_COUNT = 1_000
"""Totals of text searches, and of filters that no counter covers, are counted so far."""
_DATE_FILTERS = frozenset({"created_after", "created_before"})

Condition = Callable[[BindParameter[Any]], ColumnElement[bool]]
Start = Literal["top", "offset", "after"]
"""Where a page begins: at the first row, at one by number, or after the row of a cursor."""


@dataclass(frozen=True, eq=False)
class ListStatements(Generic[R]):
    """What a list has, and the statements that read it.

    `row` types its rows, `columns` are what they have, `source` where these come from; `key` is the
    unique identifier that sorts by creation; `scope` the columns that are always bound, the tenant
    first; `sorts` the expression behind each word of `sort` (never null); `filters` the condition
    behind each query parameter; `capped` the filters with which a total stops at 1,000; `totals`
    counts that do not look at every row, by the filters that are given. `created` is the time of
    creation: it sorts instead of the key where filters bound it, so that the scan ends with them.
    `blocks` counts the rows by blocks of the key (`chassis.block_offset`).
    `sample` is the condition of an index for searches that has a part of the rows, for the total of
    all rows but those of the filters `few`, which have an index of their own; a search in the
    order of creation looks at the first `near` rows for its page before it looks anywhere else.
    `shown` is what `json_page` shows of a row; what it is sorted by keeps its column's name there.
    """

    row: type[R]
    source: FromClause
    columns: Sequence[ColumnElement[Any]]
    key: ColumnElement[str]
    scope: Mapping[str, ColumnElement[Any]]
    sorts: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    filters: Mapping[str, Condition] = field(default_factory=dict)
    capped: frozenset[str] = frozenset({"q"})
    totals: Mapping[tuple[str, ...], Select[int]] = field(default_factory=dict)
    created: ColumnElement[Any] | None = None
    blocks: Select[Any] | None = None
    few: frozenset[str] = frozenset()
    sample: ColumnElement[bool] | None = None
    near: int = 0
    shown: Shown = field(default_factory=dict)

    def _where(self, names: tuple[str, ...]) -> list[ColumnElement[bool]]:
        bound = [
            column == bindparam(name, type_=column.type) for name, column in self.scope.items()
        ]
        return bound + [self.filters[name](bindparam(name)) for name in names]

    @lru_cache(maxsize=256)  # noqa: B019 - listings live as long as the process
    def count(self, names: tuple[str, ...]) -> Statement:
        if names in self.totals:
            return Statement(self.totals[names])
        where = and_(true(), *self._where(names))
        if self.capped.isdisjoint(names):
            return Statement(select(func.count()).select_from(self.source).where(where))
        if self.sample is None:
            some = select(1).select_from(self.source).where(where).limit(MAX_COUNT + 1).subquery()
            return Statement(select(func.count()).select_from(some))
        texts, others = self._split(names)
        rows = select().select_from(self.source).where(*self._where(others))
        _, order = self.order(others, "-created_at")
        sample = self.sample if self.few.isdisjoint(names) else None
        return Statement(count_found(rows, order, self._found(texts), sample, MAX_COUNT))

    def _split(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The searched texts, and the other filters."""
        texts = tuple(name for name in names if name in self.capped)
        return texts, tuple(name for name in names if name not in self.capped)

    def _found(self, names: tuple[str, ...]) -> ColumnElement[bool]:
        return and_(*(self.filters[name](bindparam(name)) for name in names))

    @lru_cache(maxsize=1024)  # noqa: B019
    def rows(
        self, names: tuple[str, ...], sort: str, start: Start, as_json: bool = False
    ) -> Statement[R]:
        _, order = self.order(names, sort)
        where = self._where(names) + self._behind(names, sort, start)
        statement = self._select(names, sort, as_json).where(*where).order_by(*order)
        if start != "offset" and not names and sort in ("-created_at", "created_at"):
            # A number that the planner knows, so that one plan serves whatever `limit` is: to plan
            # takes longer than to read the page.
            most: ColumnElement[int] = literal_column(str(MAX_LIMIT + 1))
            statement = select(*statement.limit(most).subquery("page").c)
        statement = statement.limit(bindparam("limit"))
        if start == "offset":
            statement = statement.offset(bindparam("offset"))
        return Statement(statement, self.row)

    def _behind(self, names: tuple[str, ...], sort: str, start: Start) -> list[ColumnElement[bool]]:
        """What is true of the rows behind the cursor, if there is one."""
        if start != "after":
            return []
        by, _ = self.order(names, sort)
        edge = tuple_(
            bindparam("after_sort", type_=by.type), bindparam("after_key", type_=self.key.type)
        )
        place = tuple_(by, self.key)
        return [place < edge if sort.startswith("-") else place > edge]

    def _select(self, names: tuple[str, ...], sort: str, as_json: bool) -> Select[Any]:
        more = self._extra_columns(names, sort).values()
        if as_json:
            return select_json(self.source, self.shown, *more)
        return select(*self.columns, *more).select_from(self.source)

    @lru_cache(maxsize=256)  # noqa: B019
    def deep_page(self, names: tuple[str, ...], sort: str, as_json: bool = False) -> Statement[R]:
        by, order = self.order(names, sort)
        page = (
            select(self.key.label("key"))
            .select_from(self.source)
            .where(*self._where(names))
            .order_by(*order)
            .limit(bindparam("limit"))
            .offset(bindparam("offset"))
        )
        if self.blocks is not None and not names and by is self.key:
            page = skip_blocks(page, self.key, self.blocks, descending=sort.startswith("-"))
        return self._of_keys(page, names, sort, as_json)

    @lru_cache(maxsize=256)  # noqa: B019
    def near_page(
        self, names: tuple[str, ...], sort: str, start: Start, as_json: bool
    ) -> Statement[R] | None:
        """What a search finds among the first rows: the limit keeps its filters out of the scan."""
        is_default = sort.lstrip("-") == "created_at" and _DATE_FILTERS.isdisjoint(names)
        if not self.near or not is_default or self.capped.isdisjoint(names):
            return None
        by, order = self.order(names, sort)
        near = (
            select(self.key.label("key"), by.label("by"), self._found(names).label("is_found"))
            .select_from(self.source)
            .where(*self._where(()), *self._behind(names, sort, start))
            .order_by(*order)
            .limit(literal_column(str(self.near)))
            .subquery("near")
        )
        place = (near.c.by, near.c.key)
        page = select(near.c.key).where(near.c.is_found).limit(bindparam("limit"))
        page = page.order_by(*(each.desc() if sort.startswith("-") else each for each in place))
        if start == "offset":
            page = page.offset(bindparam("offset"))
        return self._of_keys(page, names, sort, as_json)

    def _of_keys(
        self, page: Select[Any], names: tuple[str, ...], sort: str, as_json: bool
    ) -> Statement[R]:
        """The rows whose keys are selected by `page`."""
        _, order = self.order(names, sort)
        return Statement(
            self._select(names, sort, as_json)
            .where(*self._where(()), self.key == any_of(page))
            .order_by(*order),
            self.row,
        )

    @lru_cache(maxsize=256)  # noqa: B019
    def _extra_columns(self, names: tuple[str, ...], sort: str) -> dict[str, ColumnElement[Any]]:
        """What a row has beside its columns: its position, unless they have it, and the total."""
        by, _ = self.order(names, sort)
        found: dict[str, ColumnElement[Any]] = {}
        for name, place in zip(self.position_names(names, sort), (by, self.key), strict=True):
            if not self._selects(place):
                found[name] = place.label(name)
        if names in self.totals:
            found["total"] = self.totals[names].scalar_subquery().label("total")
        return found

    @lru_cache(maxsize=256)  # noqa: B019
    def position_names(self, names: tuple[str, ...], sort: str) -> tuple[str, str]:
        """The names under which a row has what it is sorted by, and its key."""
        by, _ = self.order(names, sort)
        return (
            by.key if self._selects(by) and by.key else "sort_value",
            self.key.key if self._selects(self.key) and self.key.key else "key_value",
        )

    def _selects(self, what: ColumnElement[Any]) -> bool:
        return any(column is what for column in self.columns)

    def order(
        self, names: tuple[str, ...], sort: str
    ) -> tuple[ColumnElement[Any], list[ColumnElement[Any]]]:
        """What it is sorted by, and the whole order, in which no two rows are equal."""
        by = self.sorts.get(sort.lstrip("-"), self.key)
        dated = not _DATE_FILTERS.isdisjoint(names)
        if by is self.key and dated and self.created is not None:
            by = self.created
        if sort.startswith("-"):
            return by, [by.desc(), self.key.desc()]
        return by, [by.asc(), self.key.asc()]
