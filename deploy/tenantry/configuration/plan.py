"""What must be done so that a tenant has what a file says: compared field by field. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.models import Body

from tenantry.configuration.models import IDENTITY, Configuration, ProjectEntry
from tenantry.configuration.state import Existing, State

Action = Literal["create", "update", "replace", "delete"]
Fields = dict[str, tuple[Any, Any]]
"""From and to, by the name of the field; a member of an object is `settings.mfa`."""


@dataclass(frozen=True)
class Change:
    """`project` is the slug of that to which a key belongs. `body` is what is sent. Without
    `is_allowed` it deletes something, and is only shown.
    """

    action: Action
    kind: str
    name: str
    fields: Fields = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    existing: Existing | None = None
    project: str | None = None
    is_allowed: bool = True

    @property
    def label(self) -> str:
        one = self.kind.removesuffix("s").replace("_", " ")
        return f"{one} {self.project}/{self.name}" if self.project else f"{one} {self.name}"


def make_plan(wanted: Configuration, state: State, *, prune: bool) -> list[Change]:
    """In the order in which it is done: what is made or changed first, what is deleted last."""
    made: list[Change] = []
    gone: list[Change] = []
    for kind in ("projects", "organizations", "webhooks"):
        if kind not in wanted.model_fields_set:
            continue
        found = state.get(kind, {})
        entries = {str(getattr(each, IDENTITY[kind])): each for each in getattr(wanted, kind)}
        for name, entry in entries.items():
            made += _changes(kind, name, entry, found.get(name))
            if isinstance(entry, ProjectEntry) and "api_keys" in entry.model_fields_set:
                keys = list(_key_changes(entry, found.get(name), prune=prune))
                made += [each for each in keys if each.action != "delete"]
                gone += [each for each in keys if each.action == "delete"]
        gone += [
            Change("delete", kind, name, existing=existing, is_allowed=prune)
            for name, existing in found.items()
            if name not in entries
        ]
    return made + gone


def _changes(kind: str, name: str, entry: Body, existing: Existing | None) -> Iterator[Change]:
    values = entry.model_dump(mode="json", include=entry.model_fields_set - {"api_keys"})
    if existing is None:
        fields = {each: (None, value) for each, value in _flat(values)}
        yield Change("create", kind, name, fields, values)
        return
    patch: dict[str, Any] = {}
    fields = {}
    for key, value in values.items():
        before = existing.values[key]
        if _is_same(before, value):
            continue
        is_object = isinstance(value, dict) and isinstance(before, dict)
        patch[key] = merge_patch(before, value) if is_object else value
        fields |= dict(_differences(key, before, value))
    if patch:
        yield Change("update", kind, name, fields, patch, existing)


def _key_changes(
    entry: ProjectEntry, existing: Existing | None, *, prune: bool
) -> Iterator[Change]:
    found = existing.keys if existing else {}
    superfluous: list[Existing] = []
    for key in entry.api_keys:
        values = key.model_dump(mode="json")
        same = found.get(key.name, [])
        body = {name: values[name] for name in values if name in key.model_fields_set}
        given = set(body) - {"name"}
        if not same:
            fields = {each: (None, value) for each, value in _flat(body)}
            yield Change("create", "api_keys", key.name, fields, body, project=entry.slug)
            continue
        kept = next((each for each in same if not _differing(each.values, values, given)), None)
        if kept is None:
            kept = same[0]
            fields = _differing(kept.values, values, given)
            yield Change(
                "replace", "api_keys", key.name, fields, body, kept, entry.slug, is_allowed=prune
            )
        # Of one name there are several if somebody made them, or a replacement was interrupted.
        superfluous += [each for each in same if each is not kept]
    names = {each.name for each in entry.api_keys}
    superfluous += [each for name, keys in found.items() if name not in names for each in keys]
    for each in superfluous:
        yield Change(
            "delete", "api_keys", each.name, existing=each, project=entry.slug, is_allowed=prune
        )


def _differing(before: dict[str, Any], after: dict[str, Any], names: set[str]) -> Fields:
    return {
        name: (before[name], after[name])
        for name in sorted(names)
        if not _is_same(_comparable(before[name]), _comparable(after[name]))
    }


def _comparable(value: Any) -> Any:
    """Scopes are a set, whatever their order."""
    return sorted(value) if isinstance(value, list) else value


def _is_same(one: Any, other: Any) -> bool:
    """As JSON: true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def merge_patch(before: Any, after: Any) -> Any:
    """What makes the one of the other by RFC 7396."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    patch = {
        name: merge_patch(before.get(name), value)
        for name, value in after.items()
        if name not in before or not _is_same(before[name], value)
    }
    return patch | {name: None for name in before if name not in after}


def _differences(name: str, before: Any, after: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Member by member, where both are objects."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield name, (before, after)
        return
    for member in dict.fromkeys((*before, *after)):
        old, new = before.get(member), after.get(member)
        if not _is_same(old, new):
            yield from _differences(f"{name}.{member}", old, new)


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if value not in (None, [], {}):
            yield name, value
