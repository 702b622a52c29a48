"""How values look: what the templates need to know of a value, and nothing of HTML."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel

_PLACES = {"usr": "/users", "org": "/organizations", "prj": "/projects", "whk": "/webhooks",
           "evt": "/audit"}  # fmt: skip
_ID = re.compile(r"([a-z]{2,4})_[0-9a-hjkmnp-tv-z]{26}")
_LABELS = {
    "q": "search",
    "id": "ID",
    "ids": "IDs",
    "api": "API",
    "url": "URL",
    "mfa": "MFA",
    "jwk": "JWK",
    "ip": "IP",
    "ttl": "TTL",
}
_GOOD = frozenset({"active", "succeeded", "accepted", "ok", "valid", "erased"})
_BAD = frozenset({"failed", "down", "disabled", "revoked", "suspended", "deleting", "broken"})
API = "/v1/admin"
INDENTED = 20 * 1024
"""Characters of indented JSON at most: nested arrays of 16 KiB may have twenty times as many."""
_MORE = "more"
SECRETS = frozenset({"secret", "token"})
BADGES = frozenset({"status", "environment", "role", "type", "circuit"})


def label_of(name: str) -> str:
    """`last_sign_in_at` as a person writes it: `Last sign in`."""
    words = name.removesuffix("_at").split("_")
    text = " ".join(_LABELS.get(word, word) for word in words)
    return text[:1].upper() + text[1:]


def kind_of(name: str, value: Any) -> str:  # noqa: PLR0911 - one line each
    """Which part of the template `value.html` shows it."""
    if value is None or value in ([], {}, ""):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return "time"
    if isinstance(value, BaseModel) and {"id", "email", "name"} <= value.model_fields_set:
        return "person"
    if name == "previous_secret":
        return name
    if isinstance(value, (Mapping, BaseModel)):
        return "json"
    if isinstance(value, list):
        return "list" if all(isinstance(each, str) for each in value) else "json"
    if name in BADGES:
        return "badge"
    return "link" if place_of(value) else "text"


def place_of(value: Any) -> str | None:
    """The page of the resource that has the id; None for what is no such id."""
    found = _ID.fullmatch(value) if isinstance(value, str) else None
    place = _PLACES.get(found[1]) if found else None
    return f"{place}/{value}" if place else None


def tone_of(status: str) -> str:
    """`good`, `bad` or `plain`: the colour of a badge, beside its word."""
    return "good" if status in _GOOD else "bad" if status in _BAD else "plain"


def as_json(value: Any) -> str:
    """Indented, as a person edits it; on one line where indenting would make much of little."""
    data = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= INDENTED else json.dumps(data, ensure_ascii=False, default=str)


def as_time(value: datetime) -> str:
    """In UTC, to the second; the script shows it in the viewer's zone."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def in_element(text: str) -> Markup:
    """Text for the inside of an element, where quotes are text: JSON stays as long as it is."""
    return Markup(text.replace("&", "&amp;").replace("<", "&lt;"))  # noqa: S704 - escaped here


def order_of(sort: str) -> str:
    """`-created_at` as a person chooses it: `Created, last first`."""
    return (
        f"{label_of(sort.removeprefix('-'))}, {'last' if sort.startswith('-') else 'first'} first"
    )


def grouped(number: int) -> str:
    """12,345."""
    return f"{number:,}"


def part_of(text: str, length: int) -> str:
    """The beginning of what is longer: a page has a bounded size."""
    return text if len(text) <= length else f"{text[:length]}…"


def summary_of(value: Any) -> str:
    """What stands in the place of JSON until it is opened."""
    if isinstance(value, BaseModel):
        return f"{len(value.model_fields_set)} fields"
    return f"{len(value)} {'entries' if isinstance(value, list) else 'fields'}"


def facts_of(item: BaseModel) -> list[tuple[str, Any]]:
    """The fields of a resource that are no lists of others and no secret."""
    return [
        (name, value)
        for name, value in item
        if not _is_table(value) and name not in SECRETS and name != _MORE
    ]


def lists_of(item: BaseModel) -> list[tuple[str, list[BaseModel], str | None]]:
    """The fields that are lists of others, where there are any, and the page of those that are
    left out: pages have the paths of the API.
    """
    more: Mapping[str, str] = getattr(item, _MORE, {})
    return [
        (name, value, more[name].removeprefix(API) if name in more else None)
        for name, value in item
        if _is_table(value)
    ]


def secrets_of(item: BaseModel) -> list[tuple[str, str]]:
    """What is shown once, in the item or one level below."""
    found = [(name, value) for name, value in item if name in SECRETS]
    for _, value in item:
        if isinstance(value, BaseModel):
            found += secrets_of(value)
    return found


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], BaseModel)


def without_paging(given: Mapping[str, str]) -> dict[str, str]:
    """The filters of a list's address, from its first page on."""
    return {name: value for name, value in given.items() if name not in ("page", "cursor", "done")}


def combined(given: Mapping[str, str], **more: str) -> dict[str, str]:
    return {**given, **more}


def lower_first(text: str) -> str:
    """`API keys` stays, `Users` is `users`."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


_LIFE = ("next", "active", "retiring", "retired", "revoked")


def by_life(keys: list[Any]) -> list[Any]:
    """Signing keys in the order of their lives, the future first."""
    return sorted(keys, key=lambda key: _LIFE.index(key.status))


FILTERS = {
    "by_life": by_life,
    "summary": summary_of,
    "facts": facts_of,
    "lists": lists_of,
    "secrets": secrets_of,
    "without_paging": without_paging,
    "combined": combined,
    "lower_first": lower_first,
    "label": label_of,
    "order": order_of,
    "kind": kind_of,
    "place": place_of,
    "tone": tone_of,
    "as_json": as_json,
    "as_time": as_time,
    "in_element": in_element,
    "part_of": part_of,
    "grouped": grouped,
}
