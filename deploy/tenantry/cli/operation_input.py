"""What a command was given, as the query and the body of its operation."""

import json
import sys
from pathlib import Path
from typing import Any

from tenantry.cli.operations import Field, Operation
from tenantry.cli.times import parse_future, parse_past, parse_query_time
from tenantry.errors import Misconfigured

Json = dict[str, Any]


def query_of(operation: Operation, given: Json) -> Json:
    """The parameters that were given, as a query has them."""
    values = {each.name: _value(each, given[f"query_{each.name}"]) for each in operation.query}
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in values.items()
        if value is not None
    }


def body_of(operation: Operation, given: Json) -> Json:
    """The body of a file, with the options on top. Raises Misconfigured for what is missing."""
    body = read_body(given["body_file"]) if given.get("body_file") else {}
    for field in operation.body:
        value = given[f"body_{field.name}"]
        if value is None or (value == [] and field.kind in ("list", "object")):
            continue
        body[field.name] = _value(field, value, is_body=True)
    for name in given.get("unset") or ():
        name_ = name.replace("-", "_")
        field_ = next((each for each in operation.body if each.name == name_), None)
        if field_ is None or not (field_.nullable or field_.kind == "list"):
            raise Misconfigured(
                f"{name} cannot be cleared", f"`{operation.command} --help` shows what can."
            )
        body[name_] = [] if field_.kind == "list" else None
    for each in operation.body:
        if each.required and each.name not in body:
            raise Misconfigured(
                f"{each.option} is missing", f"`{operation.command} --help` shows what it takes."
            )
    return body | operation.fixed


def _value(field: Field, value: Any, *, is_body: bool = False) -> Any:
    if value is None:
        return None
    if field.kind == "time":
        if not is_body:
            return parse_query_time(value)
        is_past = field.name in ("since", "until")
        return (parse_past if is_past else parse_future)(value).isoformat()
    if field.kind == "object":
        return dict(member_of(field.option, each) for each in value)
    return value


def member_of(option: str, text: str) -> tuple[str, Any]:
    """NAME=VALUE: a value that is JSON is taken as that, another as text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise Misconfigured(f"{option} {text}: no value", f"Write {option} NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def read_body(file: str) -> Json:
    """The JSON object in a file. Raises Misconfigured."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    try:
        body = json.loads(text)
    except ValueError as error:
        raise Misconfigured(f"{file} is no JSON: {error}", "Write a JSON object.") from None
    if not isinstance(body, dict):
        raise Misconfigured(f"{file} is no JSON object", "Write a JSON object.")
    return body
