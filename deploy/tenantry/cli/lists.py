"""Lists of the API, cut at a limit and printed: for commands named `list`."""

from collections.abc import Sequence
from typing import Any

from tenantry_client import Client, Pages

from tenantry.cli import output

MAX_PAGE = 200


def page_size(limit: int) -> int:
    """The `limit` of a request that needs so many items."""
    return min(limit, MAX_PAGE)


def print_list(
    client: Client, request: Pages[Any, Any], limit: int, columns: Sequence[str], *, as_json: bool
) -> None:
    """At most `limit` items. As JSON: `{<name of the list>: [...], "total", "total_exact"}`."""
    rows: list[dict[str, Any]] = []
    pagination = None
    for page in client.pages(request):
        pagination = pagination or page.pagination
        rows += [item.model_dump(mode="json") for item in request.items(page)]
        if len(rows) >= limit:
            break
    assert pagination is not None, "a list has at least one page"
    rows, total, is_exact = rows[:limit], pagination.total, pagination.total_exact
    if as_json:
        output.print_json({request.name: rows, "total": total, "total_exact": is_exact})
        return
    output.print_table(rows, columns)
    if len(rows) < total:
        at_least = "" if is_exact else "at least "
        output.print_line(f"{len(rows)} of {at_least}{total:,}: --limit shows more", "dim")
