"""Lists: filtered, in a stable order, in pages by number or by cursor, with their total."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.model.words import Ask, Refused, Said, moment

Row = dict[str, Any]
Place = tuple[Any, ...]
Filters = Mapping[str, Callable[[Row, str], bool]]

NEVER = "1970-01-01T00:00:00Z"


@dataclass
class Cursors:
    """Where each cursor that was given continues: the list it is of, the page, the last place."""

    given: dict[str, tuple[Any, int, Place]] = field(default_factory=dict)

    def open(self, ask: Ask) -> tuple[int, Place]:
        """Only the list that gave it takes it, with the same filters and sort."""
        binding, number, place = self.given[ask.query["cursor"]]
        if binding != _binding(ask):
            raise Refused("validation_failed", field="cursor")
        return number, place


def _binding(ask: Ask) -> Any:
    rest = {name: ask.query[name] for name in ask.query if name not in ("page", "limit", "cursor")}
    return (ask.actor, ask.path, rest)


def chosen(rows: Iterable[Row], ask: Ask, filters: Filters) -> list[Row]:
    """The rows that every filter of the query lets through."""
    given = [(filters[name], value) for name, value in ask.query.items() if name in filters]
    return [row for row in rows if all(lets(row, value) for lets, value in given)]


def page(
    cursors: Cursors, ask: Ask, name: str, rows: list[Row], *, key: str = "id", time: str = ""
) -> Said:
    """The rows of the page under `name`. `key` and `time` are what the newest is known by."""
    sort, limit = ask.query.get("sort", "-created_at"), int(ask.query.get("limit", "50"))
    number, last = int(ask.query.get("page", "1")), None
    if "cursor" in ask.query:
        number, last = cursors.open(ask)
    places = sorted(
        ((*_place(row, sort.lstrip("-"), time), row[key]) for row in rows),
        reverse=sort.startswith("-"),
    )
    if last is None:
        rest = places[(number - 1) * limit :]
    elif sort.startswith("-"):
        rest = [place for place in places if place < last]
    else:
        rest = [place for place in places if place > last]
    cursor = None
    if len(rest) > limit:
        cursor = ask.told.text("pagination", "next_cursor")
        cursors.given[cursor] = (_binding(ask), number + 1, rest[limit - 1])
    by_key = {row[key]: row for row in rows}
    pagination = {
        "page": number,
        "limit": limit,
        "total": len(rows),
        "total_exact": True,
        "next_cursor": cursor,
    }
    shown = [by_key[place[-1]] for place in rest[:limit]]
    return Said(body={name: shown, "pagination": pagination})


def _place(row: Row, word: str, time: str) -> Place:
    """What a row is sorted by, before its key."""
    if word == "created_at":
        return (moment(row[time or word]),)
    if word == "last_sign_in_at":
        return (moment(row[word] or NEVER),)
    return (row[word].lower() if word == "email" else row[word],)
