"""What differs between a resource and what a form says."""

from collections.abc import Mapping
from typing import Any

_NOT_SHOWN = ("version", "updated_at")


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Merge Patch (RFC 7396) that makes of `before` what `after` says of its members.

    A member that `after` lacks stays; within objects of free content it is removed.
    """
    patch: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := _object_patch(old, value):
                patch[name] = inner
        elif value != old:
            patch[name] = value
    return patch


def _object_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    removed: dict[str, Any] = {name: None for name in before if name not in after}
    return removed | merge_patch(before, after)


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have another value now, with both: `{name: (before, after)}`."""
    return {
        name: (before.get(name), value)
        for name, value in after.items()
        if name not in _NOT_SHOWN and name in before and before[name] != value
    }
