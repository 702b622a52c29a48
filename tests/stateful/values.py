"""Values as the contract has them: normal forms, merge patches, searches and times."""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


def normalized(field: str, value: Any) -> Any:
    """A string is stored in NFC and trimmed, the domain of an email in lower case."""
    if not isinstance(value, str):
        return value
    text = unicodedata.normalize("NFC", value).strip()
    local, at, domain = text.rpartition("@")
    return local + at + domain.lower() if field == "email" else text


def slug_of(name: str) -> str:
    """The slug of what is created without one; "" where the product must invent it."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall("[a-z0-9]+", letters))[:63].strip("-")


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def contains(q: str, texts: Iterable[str | None], *, by_word: bool = False) -> bool:
    """Whether one of the texts has `q` in it, in any case; or a word of it starts so."""
    start = r"(^|[ .@_+-])" if by_word else ""
    pattern = start + re.escape(normalized("q", q).lower())
    return any(re.search(pattern, (text or "").lower()) for text in texts)


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: `true` is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@dataclass
class TimeBetween:
    """A time of which only the bounds are known, until the product shows it."""

    earliest: datetime
    latest: datetime
    shown: str | None = None

    def check(self, text: str) -> str:
        assert text.endswith("Z"), text
        assert self.earliest <= moment(text) <= self.latest, (text, self)
        assert self.shown in (None, text), (text, self)
        self.shown = text
        return text


def new_id(prefix: str, value: str) -> str:
    assert re.fullmatch(prefix + "_[0-7][0-9a-hjkmnp-tv-z]{25}", value), value
    return value


def moment(time: str | TimeBetween) -> datetime:
    """An RFC 3339 time in UTC; the earliest one, of a time that is not known."""
    if isinstance(time, TimeBetween):
        return moment(time.shown) if time.shown else time.earliest
    return datetime.fromisoformat(time).astimezone(UTC)
