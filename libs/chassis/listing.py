"""Lists: a page by number or by cursor, in a stable order, with a total; one statement or two.

A cursor names the last row of its page: paging by cursor never skips or repeats a row.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, Literal

import orjson
from contracts.models import ListQuery
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    DateTime,
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

from chassis.cursors import cursor_binding, decode_cursor, encode_cursor
from chassis.database import Connection
from chassis.json_rows import Shown, select_json
from chassis.request import Request, stored_json
from chassis.search_count import count_found
from chassis.statements import R, Statement, any_of

MAX_COUNT = 1_000
"""Totals of text searches, and of filters that no counter covers, are counted so far."""
DEEP_OFFSET = 1_000
"""From this offset on a page is found in an index first, and its rows are looked up then."""
MAX_LIMIT = 200
"""Of `contracts.models.ListQuery`."""
LAST_OFFSET = 2**62
"""Past the end of any list, and still a bigint."""
_DATE_FILTERS = frozenset({"created_after", "created_before"})

Condition = Callable[[BindParameter[Any]], ColumnElement[bool]]
Start = Literal["top", "offset", "after"]
"""Where a page begins: at the first row, at one by number, or after the row of a cursor."""


@dataclass(frozen=True, eq=False)
class Listing(Generic[R]):
    """A list that callers page through.

    `row` types its rows, `columns` are what they have, `source` where these come from; `key` is the
    unique identifier that sorts by creation; `scope` the columns that are always bound, the tenant
    first; `sorts` the expression behind each word of `sort` (never null); `filters` the condition
    behind each query parameter; `capped` the filters with which a total stops at 1,000; `totals`
    counts that do not look at every row, by the filters that are given. `created` is the time of
    creation: it sorts instead of the key where filters bound it, so that the scan ends with them.
    `sample` is the condition of an index for searches that has a part of the rows; a search looks
    at the first `near` rows for its page before it looks anywhere else.
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
    sample: ColumnElement[bool] | None = None
    near: int = 0
    shown: Shown = field(default_factory=dict)

    async def page(
        self,
        conn: Connection,
        request: Request[Any, Any],
        scope: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> tuple[list[R], dict[str, Any]]:
        """The rows and the `pagination` object. `given` holds the filters that are not None."""
        return await self._page(conn, request, scope, given, as_json=False)

    async def json_page(
        self,
        conn: Connection,
        request: Request[Any, Any],
        scope: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> tuple[list[orjson.Fragment], dict[str, Any]]:
        """The same, each row as the JSON of what is shown of it, which PostgreSQL has written."""
        rows, pagination = await self._page(conn, request, scope, given, as_json=True)
        return [stored_json(vars(row)["json"]) for row in rows], pagination

    async def _page(
        self,
        conn: Connection,
        request: Request[Any, Any],
        scope: Mapping[str, Any],
        given: Mapping[str, Any],
        *,
        as_json: bool,
    ) -> tuple[list[R], dict[str, Any]]:
        query: ListQuery = request.query
        sort = getattr(query, "sort", "-created_at")
        binding = cursor_binding(request)
        number, after = query.page, None
        if query.cursor is not None:
            number, after = decode_cursor(query.cursor, binding)
        names = tuple(sorted(given))
        values = {**scope, **given, "limit": query.limit + 1}
        if after is not None:
            values |= {"after_sort": self._sort_value(names, sort, after[0]), "after_key": after[1]}
        elif number > 1:
            values["offset"] = min((number - 1) * query.limit, LAST_OFFSET)
        start: Start = "after" if after else "offset" if number > 1 else "top"
        if values.get("offset", 0) < DEEP_OFFSET:
            statement = self._rows(names, sort, start, as_json)
        else:
            statement = self._deep_page(names, sort, as_json)
        near = self._near_page(names, sort, start, as_json)
        found = await self._fetch(conn, names, (near, statement), values)
        more, rows = len(found) > query.limit, found[: query.limit]
        if after is None and not more and (rows or number == 1):
            total, exact = (number - 1) * query.limit + len(rows), True
        elif rows and names in self.totals:
            total, exact = vars(rows[0])["total"], True
        else:
            total, exact = await self._total(conn, names, {**scope, **given})
        cursor = None
        if more:
            last = vars(rows[-1])
            if as_json:
                last = orjson.loads(last["json"]) | last
            place = [last[name] for name in self._position_names(names, sort)]
            cursor = encode_cursor([number + 1, place], binding)
        return rows, {
            "page": number,
            "limit": query.limit,
            "total": total,
            "total_exact": exact,
            "next_cursor": cursor,
        }

    async def first(
        self, conn: Connection, scope: Mapping[str, Any], given: Mapping[str, Any], limit: int
    ) -> list[R]:
        """The newest rows, without a total: at the cost of these rows."""
        names = tuple(sorted(given))
        values = {**scope, **given, "limit": limit}
        statement = self._rows(names, "-created_at", "top")
        return await self._fetch(conn, names, (None, statement), values)

    async def _fetch(
        self,
        conn: Connection,
        names: tuple[str, ...],
        statements: tuple[Statement[R] | None, Statement[R]],
        values: Mapping[str, Any],
    ) -> list[R]:
        """What contains a text is planned for it, unless the first rows have a whole page."""
        near, statement = statements
        if self.capped.isdisjoint(names):
            return await statement.fetch_all(conn, **values)
        if near is not None:
            found = await near.fetch_all(conn, **values)
            if len(found) == values["limit"]:
                return found
        return await statement.fetch_all_planned(conn, **values)

    def _sort_value(self, names: tuple[str, ...], sort: str, value: Any) -> Any:
        """A sort value back from a cursor's JSON, where times are text."""
        by, _ = self._order(names, sort)
        return datetime.fromisoformat(value) if isinstance(by.type, DateTime) else value

    async def _total(
        self, conn: Connection, names: tuple[str, ...], values: Mapping[str, Any]
    ) -> tuple[int, bool]:
        if self.capped.isdisjoint(names):
            return await self._count(names).fetch_value(conn, **values) or 0, True
        ((counted,),) = await self._count(names).fetch_all_planned(conn, **values)
        return min(counted, MAX_COUNT), counted <= MAX_COUNT

    def _where(self, names: tuple[str, ...]) -> list[ColumnElement[bool]]:
        bound = [
            column == bindparam(name, type_=column.type) for name, column in self.scope.items()
        ]
        return bound + [self.filters[name](bindparam(name)) for name in names]

    @lru_cache(maxsize=256)  # noqa: B019 - listings live as long as the process
    def _count(self, names: tuple[str, ...]) -> Statement:
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
        _, order = self._order(others, "-created_at")
        return Statement(count_found(rows, order, self._found(texts), self.sample, MAX_COUNT))

    def _split(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The searched texts, and the other filters."""
        texts = tuple(name for name in names if name in self.capped)
        return texts, tuple(name for name in names if name not in self.capped)

    def _found(self, texts: tuple[str, ...]) -> ColumnElement[bool]:
        return and_(*(self.filters[name](bindparam(name)) for name in texts))

    @lru_cache(maxsize=1024)  # noqa: B019
    def _rows(
        self, names: tuple[str, ...], sort: str, start: Start, as_json: bool = False
    ) -> Statement[R]:
        _, order = self._order(names, sort)
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
        by, _ = self._order(names, sort)
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
    def _deep_page(self, names: tuple[str, ...], sort: str, as_json: bool = False) -> Statement[R]:
        _, order = self._order(names, sort)
        page = (
            select(self.key.label("key"))
            .select_from(self.source)
            .where(*self._where(names))
            .order_by(*order)
            .limit(bindparam("limit"))
            .offset(bindparam("offset"))
        )
        return self._of_keys(page, names, sort, as_json)

    @lru_cache(maxsize=256)  # noqa: B019
    def _near_page(
        self, names: tuple[str, ...], sort: str, start: Start, as_json: bool
    ) -> Statement[R] | None:
        """What a search finds among the first rows: the limit keeps its text out of the scan."""
        texts, others = self._split(names)
        if not self.near or not texts:
            return None
        by, order = self._order(names, sort)
        near = (
            select(self.key.label("key"), by.label("by"), self._found(texts).label("is_found"))
            .select_from(self.source)
            .where(*self._where(others), *self._behind(names, sort, start))
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
        _, order = self._order(names, sort)
        return Statement(
            self._select(names, sort, as_json)
            .where(*self._where(()), self.key == any_of(page))
            .order_by(*order),
            self.row,
        )

    @lru_cache(maxsize=256)  # noqa: B019
    def _extra_columns(self, names: tuple[str, ...], sort: str) -> dict[str, ColumnElement[Any]]:
        """What a row has beside its columns: its position, unless they have it, and the total."""
        by, _ = self._order(names, sort)
        found: dict[str, ColumnElement[Any]] = {}
        for name, place in zip(self._position_names(names, sort), (by, self.key), strict=True):
            if not self._selects(place):
                found[name] = place.label(name)
        if names in self.totals:
            found["total"] = self.totals[names].scalar_subquery().label("total")
        return found

    @lru_cache(maxsize=256)  # noqa: B019
    def _position_names(self, names: tuple[str, ...], sort: str) -> tuple[str, str]:
        """The names under which a row has what it is sorted by, and its key."""
        by, _ = self._order(names, sort)
        return (
            by.key if self._selects(by) and by.key else "sort_value",
            self.key.key if self._selects(self.key) and self.key.key else "key_value",
        )

    def _selects(self, what: ColumnElement[Any]) -> bool:
        return any(column is what for column in self.columns)

    def _order(
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


def search_pattern(text: str) -> str:
    """The LIKE pattern for `text` anywhere. The database folds its case, as that of the column
    (`chassis.case_folding`); a wide % or _ is one of ASCII before it is escaped.
    """
    escaped = unicodedata.normalize("NFKC", text)
    for sign in "\\%_":
        escaped = escaped.replace(sign, f"\\{sign}")
    return f"%{escaped}%"


def filters_of(query: ListQuery, *without: str) -> dict[str, Any]:
    """The filters that the caller gave: all but the paging; `q` as a LIKE pattern."""
    paging = {"page", "limit", "cursor", "sort", *without}
    found = {name: value for name, value in query if name not in paging and value is not None}
    if "q" in found:
        found["q"] = search_pattern(found["q"])
    return found
