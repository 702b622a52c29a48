"""Lists: a page by number or by cursor, in a stable order, with a total; one statement or two.

A cursor names the last row of its page: paging by cursor never skips or repeats a row.
"""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from contracts.models import ListQuery
from sqlalchemy import DateTime

from chassis.cursors import cursor_binding, decode_cursor, encode_cursor
from chassis.database import Connection
from chassis.list_statements import MAX_COUNT, ListStatements, Start
from chassis.request import Request, stored_json
from chassis.statements import R, Statement

DEEP_OFFSET = 1_000
"""From this offset on a page is found in an index first, and its rows are looked up then."""
LAST_OFFSET = 2**62
"""Past the end of any list, and still a bigint."""


class Listing(ListStatements[R]):
    """A list that callers page through."""

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
            statement = self.rows(names, sort, start, as_json)
        else:
            statement = self.deep_page(names, sort, as_json)
        near = self.near_page(names, sort, start, as_json)
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
            place = [last[name] for name in self.position_names(names, sort)]
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
        statement = self.rows(names, "-created_at", "top")
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
        by, _ = self.order(names, sort)
        return datetime.fromisoformat(value) if isinstance(by.type, DateTime) else value

    async def _total(
        self, conn: Connection, names: tuple[str, ...], values: Mapping[str, Any]
    ) -> tuple[int, bool]:
        if self.capped.isdisjoint(names):
            return await self.count(names).fetch_value(conn, **values) or 0, True
        ((counted,),) = await self.count(names).fetch_all_planned(conn, **values)
        return min(counted, MAX_COUNT), counted <= MAX_COUNT


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
