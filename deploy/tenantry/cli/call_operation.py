"""Calls an operation of the API with what a command was given, and prints the answer.

Nothing is checked that the API checks: its problem says what is wrong, and the command what to do.
"""

import json
import sys
import time
from typing import Any
from urllib.parse import urlencode

from tenantry.access import Target, find_access
from tenantry.cli import output
from tenantry.cli.operation_input import body_of, query_of
from tenantry.cli.operations import Operation, Parent
from tenantry.cli.options import Format, confirm
from tenantry.connection import Api, path_of, read_json
from tenantry.errors import CommandFailed

MAX_PAGE = 200
_POLL_SECONDS = 0.5
_FORM = "application/x-www-form-urlencoded"
Json = dict[str, Any]
_ASKS_FROM_NEXT_RELEASE = ("revoke_api_key",)
"""What version 0.1 did without a question, and scripts do."""


def call_operation(operation: Operation, given: Json) -> None:
    """`given` are the parameters of `resource_commands`, by their names."""
    target = Target(given["url"], given["data"], given["profile"])
    format_: Format = "json" if given["as_json"] else given["output"]
    query = query_of(operation, given)
    body = body_of(operation, given) if operation.has_body else None
    try:
        with Api(find_access(target, operation.credential)) as api:
            ids = {
                each.name: _find(api, each, given[f"id_{each.name}"]) for each in operation.parents
            }
            path = path_of(operation.path, ids)
            if operation.is_paged:
                limit = None if given["all_"] else given["limit"]
                _print_pages(api, operation, path, query, limit, format_)
            elif operation.cannot_be_undone:
                _delete(api, operation, path, query, given, format_)
            else:
                _print_answer(_send(api, operation, path, query, body), operation, format_)
    except CommandFailed as failed:
        if failed.details.get("status") == 422:
            failed.fix = f"`{operation.command} --help` shows what is allowed."
        raise


def _send(api: Api, operation: Operation, path: str, query: Json, body: Any) -> Any:
    headers = {}
    if operation.is_form:
        body, headers["Content_Type"] = urlencode(body).encode(), _FORM
    response = api.send(operation.method, path, query, body, **headers)
    if response.headers.get("Content-Type", "").startswith("text/"):
        return response.text
    return read_json(api.address, response)


def _find(api: Api, parent: Parent, value: str) -> str:
    """The identifier of what was named by it, by a slug or by an email address."""
    finder = parent.find
    if finder is None or value.startswith(f"{parent.prefix}_"):
        return value
    query = {finder.query: value, "limit": MAX_PAGE}
    while True:
        page = api("GET", finder.path, query)
        for item in page[finder.items]:
            if str(item[finder.by]).casefold() == value.casefold():
                return str(item["id"])
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            one = finder.items.removesuffix("s")
            raise CommandFailed(
                f"there is no {one} with the {finder.by} {value}",
                f"Name it by its id ({parent.prefix}_…) or by its whole {finder.by}; "
                f"`tenantry {finder.items} list` shows them.",
                code="not_found",
            )
        query = {**query, "cursor": cursor}


def _print_pages(
    api: Api, operation: Operation, path: str, query: Json, limit: int | None, format_: Format
) -> None:
    """At most `limit` items. As JSON: `{<name of the list>: [...], "total", "total_exact"}`."""
    rows: list[Json] = []
    query = {**query, "limit": min(limit or MAX_PAGE, MAX_PAGE)}
    first: Json | None = None
    while True:
        page = api("GET", path, query)
        first = first or page["pagination"]
        rows += page[operation.items]
        query["cursor"] = page["pagination"]["next_cursor"]
        if query["cursor"] is None or (limit is not None and len(rows) >= limit):
            break
    is_cut = query["cursor"] is not None or len(rows) > len(rows[:limit])
    rows, total = rows[:limit], first["total"]
    found = {str(operation.items): rows, "total": total, "total_exact": first["total_exact"]}
    _print_rows(found, operation, format_)
    if format_ in ("table", "name"):
        exact = first["total_exact"]
        of = f" of {total:,}" if exact else f" of more than {total:,}" if is_cut else ""
        more = "; --limit shows more, --all shows all" if is_cut else ""
        output.print_note(f"{len(rows):,}{of}{more}", dim=not more)


def _print_rows(found: Json, operation: Operation, format_: Format) -> None:
    rows = found[str(operation.items)]
    if format_ == "table":
        output.page_table(rows, operation.columns)
    elif format_ == "name":
        output.print_names(str(each[operation.key]) for each in rows)
    else:
        output.print_value(found, format_)


def _print_answer(answer: Any, operation: Operation, format_: Format) -> None:
    if isinstance(answer, str):
        sys.stdout.write(answer)
    elif operation.items is not None:
        _print_rows(answer, operation, format_)
    elif answer is None:
        output.print_value({"done": True}, format_)
    elif format_ == "name":
        output.print_names([_name_of(answer, operation)])
    else:
        output.print_value(answer, format_)
    if operation.shows_secret and format_ in ("table", "yaml"):
        output.print_note("Keep the secret: it is not shown again.")


def _name_of(answer: Json, operation: Operation) -> str:
    if operation.key in answer:
        return str(answer[operation.key])
    inner = next((each for each in answer.values() if isinstance(each, dict)), {})
    return str(inner.get("id") or answer.get("user_id") or json.dumps(answer))


def _delete(
    api: Api, operation: Operation, path: str, query: Json, given: Json, format_: Format
) -> None:
    """Shows what it takes along, asks, and waits until it is gone for good."""
    last = given[f"id_{operation.parents[-1].name}"]
    counts: Json = {}
    if operation.previews:
        preview = api("DELETE", path, {**query, "dry_run": "true"})
        counts = preview["would_delete"]
    name = path.rsplit("/", 1)[-1] if operation.method == "DELETE" else last
    if given.get("dry_run"):
        output.print_value({"id": name, "would_delete": counts}, format_)
        return
    content = ", ".join(f"{count:,} {each}" for each, count in counts.items() if count)
    taken = f", with {content.replace('_', ' ')}," if content else ""
    what = f"{operation.verb.replace('-', ' ')} {operation.parents[-1].metavar} {last}{taken}"
    if operation.id in _ASKS_FROM_NEXT_RELEASE and not sys.stdin.isatty():
        if not given["yes"]:
            output.print_note("From the next release on this needs --yes.")
    else:
        confirm(
            f"{what[0].upper()}{what[1:]} at {api.address}? It cannot be undone.", yes=given["yes"]
        )
    response = api.send(operation.method, path, query)
    if response.status_code == 202:
        _wait_until_gone(api, path, given["wait"])
    done = {operation.verb.partition("-")[0].rstrip("e") + "ed": True}
    if format_ == "name":
        output.print_names([name])
    elif format_ == "table":
        output.print_line(f"{last} is {next(iter(done))}.", "green")
    else:
        output.print_value({"id": name, **done}, format_)


def _wait_until_gone(api: Api, path: str, seconds: int) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            api("GET", path)
        except CommandFailed as failed:
            if failed.details.get("status") == 404:
                return
            raise
        time.sleep(_POLL_SECONDS)
    raise CommandFailed(
        f"some service has not erased it within {seconds} s",
        "It goes on by itself; run the command again, or `tenantry doctor`.",
        code="still_erasing",
    )
