"""Changes of a resource: JSON Merge Patch (RFC 7396), versions (RFC 9110 13.1.1), what changed."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from contracts.context import Context
from contracts.json_objects import METADATA_BYTES, format_double, merge, normal_object
from contracts.problems import Problem, invalid
from pydantic_core import PydanticCustomError

from chassis.rows import changed_row

R = TypeVar("R")


def encoded_object(value: dict[str, Any], field: str) -> str:
    """A JSON object as text of at most 16 KiB. Raises Problem when it breaks a limit."""
    return _encoded(_normal(value, field), field)


def _encoded(value: dict[str, Any], field: str) -> str:
    text = orjson.dumps(_with_short_numbers(value))
    if len(text) > METADATA_BYTES:
        raise invalid(field, "must be at most 16 KiB of JSON", "too_large")
    return text.decode()


def _normal(value: dict[str, Any], field: str) -> dict[str, Any]:
    try:
        return normal_object(value)
    except PydanticCustomError as error:
        raise invalid(field, error.message(), error.type) from None


def _with_short_numbers(node: Any) -> Any:
    if isinstance(node, float):
        return orjson.Fragment(format_double(node))
    if isinstance(node, dict):
        return {name: _with_short_numbers(member) for name, member in node.items()}
    if isinstance(node, list):
        return [_with_short_numbers(member) for member in node]
    return node


def check_version(context: Context, version: int) -> None:
    """`If-Match`: `*` or a list of ETags, one of them of this version. Raises Problem (412).

    An ETag is the version in quotes; what follows a dot tells apart answers of one version.
    """
    if context.if_match is None:
        return
    for tag in map(str.strip, context.if_match.split(",")):
        if tag == "*" or (
            tag.startswith('"') and tag.endswith('"') and tag[1:-1].split(".")[0] == str(version)
        ):
            return
    raise Problem(
        "version_mismatch",
        f"The resource is at version {version} now. Read it again and repeat the change.",
    )


def apply_patch(
    row: R, patch: Mapping[str, Any], json_columns: Collection[str] = ()
) -> tuple[R, dict[str, dict[str, Any]]]:
    """The row after the patch, and `{field: {"from": ..., "to": ...}}` for what really changes.

    The patch of a JSON column merges; its new value is text for PostgreSQL. A row with a version
    gets the next one if anything changes, and is updated now. Raises Problem when a merged object
    breaks the limits.
    """
    before = vars(row)
    after: dict[str, Any] = {}
    changes = {}
    for name, value in patch.items():
        is_json = name in json_columns
        old = _normal(orjson.loads(before[name]), name) if is_json else before[name]
        new = _normal(merge(old, value), name) if is_json else value
        stored = _encoded(new, name) if is_json else new
        if _canonical(new) == _canonical(old):
            continue
        changes[name] = {"from": old, "to": new}
        after[name] = stored
    if changes and "version" in before:
        after |= {"version": before["version"] + 1, "updated_at": datetime.now(UTC)}
    return changed_row(row, **after), changes


def _canonical(value: Any) -> bytes:
    """Its JSON, as Python takes `true` for 1 and keeps the order of names."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
