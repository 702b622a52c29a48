"""Changing a resource: JSON Merge Patch (RFC 7396), versions (RFC 9110 13.1.1), what changed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from contracts.context import Context
from contracts.fields import METADATA_BYTES, check_json_object
from contracts.problems import Problem, invalid
from pydantic_core import PydanticCustomError


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396: objects merge deeply, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def encoded_object(value: dict[str, Any], field: str) -> str:
    """A JSON object as text of at most 16 KiB. Raises Problem when it breaks a limit."""
    try:
        check_json_object(value)
    except PydanticCustomError as error:
        raise invalid(field, error.message(), error.type) from None
    text = orjson.dumps(value)
    if len(text) > METADATA_BYTES:
        raise invalid(field, "must be at most 16 KiB of JSON", "too_large")
    return text.decode()


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
    row: Mapping[str, Any], patch: Mapping[str, Any], objects: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The row after the patch, and `{field: {"from": ..., "to": ...}}` for what really changes.

    `objects` are the JSON columns: their patch merges, and their new value is text for PostgreSQL.
    A row with a version is at its next one if anything changes, and updated now.
    Raises Problem when a merged object breaks the limits.
    """
    after, changes = dict(row), {}
    for name, value in patch.items():
        before = orjson.loads(row[name]) if name in objects else row[name]
        to = merge(before, value) if name in objects else value
        kept = encoded_object(to, name) if name in objects else to
        if _canonical(to) == _canonical(before):
            continue
        changes[name] = {"from": before, "to": to}
        after[name] = kept
    if changes and "version" in row:
        after |= {"version": row["version"] + 1, "updated_at": datetime.now(UTC)}
    return after, changes


def _canonical(value: Any) -> bytes:
    """Its JSON, as Python takes `true` for 1 and keeps the order of names."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
