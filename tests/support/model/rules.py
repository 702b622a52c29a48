"""The rules that hold for every resource: normal forms, merge patches, versions, searches."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from support.model.words import Ask, Refused, same


def clean(text: str) -> str:
    """Strings are NFC and trimmed."""
    return unicodedata.normalize("NFC", text).strip()


def normal_email(text: str) -> str:
    """As a user is shown with it: the domain in lower case."""
    local, _, domain = clean(text).rpartition("@")
    return f"{local}@{domain.lower()}"


def slug_of(name: str) -> str:
    """Derived from the name where none is given: letters of ASCII, single inner hyphens."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall("[a-z0-9]+", letters))[:63].strip("-")


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def check_version(ask: Ask, shown: Mapping[str, Any]) -> None:
    """If-Match: one of the tags is of this version, or any will do."""
    if ask.if_match is None or ask.if_match == "*":
        return
    tags = [tag.strip().strip('"').split(".")[0] for tag in ask.if_match.split(",")]
    if str(shown["version"]) not in tags:
        raise Refused("version_mismatch")


def patched(
    ask: Ask, shown: dict[str, Any], clean_field: Callable[[str, Any], Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the resource will be, all but its version and time, and what really changes."""
    after, changes = dict(shown), {}
    for name, value in ask.body.items():
        to = merged(shown[name], value) if isinstance(value, dict) else clean_field(name, value)
        if not same(shown[name], to):
            changes[name] = {"from": shown[name], "to": to}
            after[name] = to
    return after, changes


def cleaned(name: str, value: Any) -> Any:
    """A field as it is kept."""
    if name == "email":
        return normal_email(value)
    return clean(value) if isinstance(value, str) else value


def moved_on(ask: Ask, after: dict[str, Any]) -> dict[str, Any]:
    """The next version of a resource that changed."""
    return after | {"version": after["version"] + 1, "updated_at": ask.told.now("updated_at")}


def contains(q: str, *fields: str | None) -> bool:
    """Whether a field has the text in it, in any case."""
    return any(clean(q).lower() in (each or "").lower() for each in fields)


def begins(q: str, *fields: str | None) -> bool:
    """The same for one or two letters: at the beginning of a field or word."""
    beginning = re.compile(r"(^|[ .@_+-])" + re.escape(clean(q).lower()))
    return any(beginning.search((each or "").lower()) for each in fields)
