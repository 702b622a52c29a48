"""The schemas of events and messages as others rely on them: they may only grow.

A reader must ignore what it does not know; so a new optional field or a new type breaks nobody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.events import EVENT_TYPES, Event, EventData
from contracts.lifecycle import LIFECYCLE_TYPES, LifecycleData

Schema = dict[str, Any]
Kind = type[EventData] | type[LifecycleData]

FROZEN: dict[str, Mapping[str, Kind]] = {"events": EVENT_TYPES, "lifecycle": LIFECYCLE_TYPES}
"""By folder of docs/schemas: what others read, and what services read of each other."""

_REMARKS = ("title", "description", "examples", "$id", "$schema", "$defs")
"""What says nothing of the form of an event."""


def data_schema(kind: Kind) -> Schema:
    """The JSON Schema of an event type's `data`, open to fields that come later."""
    opened: Schema = _open(kind.model_json_schema())
    return opened


def event_schema(kind: Kind) -> Schema:
    """The JSON Schema of a whole event of that type."""
    envelope, data = Event.model_json_schema(), data_schema(kind)
    definitions = envelope.pop("$defs", {}) | data.pop("$defs", {})
    members = envelope["properties"] | {"data": data, "type": {"const": kind.type}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tenantry:{kind.type}",
        **envelope,
        "title": kind.type,
        "description": (kind.__doc__ or "").strip(),
        "properties": members,
        "$defs": definitions,
    }


@dataclass(frozen=True)
class Difference:
    """`where` is a path such as `user.created data.user.email`."""

    where: str
    what: str
    is_addition: bool


def differences(frozen: Mapping[str, Schema], now: Mapping[str, Schema]) -> list[Difference]:
    """What has become of the schemas, by type; remarks are no difference."""
    found = []
    for name in sorted({*frozen, *now}):
        if name not in now:
            found.append(Difference(name, "the type is gone", False))
        elif name not in frozen:
            found.append(Difference(name, "a new type", True))
        else:
            found += _compare(_bare(frozen[name], frozen[name]), _bare(now[name], now[name]), name)
    return found


def _open(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_open(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _open(member)
        for name, member in schema.items()
        if not (name == "additionalProperties" and member is False)
    }


def _bare(schema: Any, whole: Schema) -> Any:
    """Without remarks, each reference replaced by what it refers to."""
    if isinstance(schema, list):
        return [_bare(each, whole) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _bare(whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]], whole)
    bare: Schema = {}
    for name, member in schema.items():
        if name == "properties":
            bare[name] = {field: _bare(each, whole) for field, each in member.items()}
        elif name not in _REMARKS:
            bare[name] = sorted(member) if name == "required" else _bare(member, whole)
    return bare


def _compare(old: Schema, new: Schema, where: str) -> Iterator[Difference]:
    for word in sorted({*old, *new}):
        before, after = old.get(word), new.get(word)
        if before == after:
            continue
        if word == "properties":
            needed = new.get("required", [])
            yield from _compare_fields(before or {}, after or {}, needed, where)
        elif word == "required":
            for name in sorted({*(before or []), *(after or [])} & {*old["properties"]}):
                if (name in (before or [])) != (name in (after or [])):
                    yield Difference(_field(where, name), "is required or not, otherwise", False)
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from _compare(before, after, where)
        elif _are_alike(before, after):
            for one, other in zip(before or [], after or [], strict=True):
                yield from _compare(one, other, where)
        else:
            yield Difference(where, f"{word} was {before!r} and is {after!r}", False)


def _compare_fields(
    old: Schema, new: Schema, needed: list[str], where: str
) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        at = _field(where, name)
        if name not in new:
            yield Difference(at, "the field is gone", False)
        elif name in old:
            yield from _compare(old[name], new[name], at)
        elif name in needed:
            yield Difference(at, "a new field that older events lack is required", False)
        else:
            yield Difference(at, "a new optional field", True)


def _field(where: str, name: str) -> str:
    return f"{where}.{name}" if " " in where else f"{where} {name}"


def _are_alike(before: Any, after: Any) -> bool:
    """Lists of as many schemas, such as those of `anyOf`."""
    return (
        isinstance(before, list)
        and isinstance(after, list)
        and len(before) == len(after)
        and all(isinstance(each, dict) for each in [*before, *after])
    )
