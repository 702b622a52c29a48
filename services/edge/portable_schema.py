"""Schemas in the form that code generators read: each says the same as the one that pydantic makes.

`anyOf` of a type and null becomes a list of types, which needs no class of its own; a default
beside a `$ref` goes, since what it refers to has its own defaults.
"""

from typing import Any

_NULL = {"type": "null"}


def portable(node: Any) -> Any:
    """The schema, or the document, with every schema in it in that form."""
    if isinstance(node, list):
        return [portable(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {name: portable(member) for name, member in node.items()}
    if "$ref" in made:
        made.pop("default", None)
    options = made.get("anyOf")
    if isinstance(options, list) and len(options) == 2 and options[1] == _NULL:
        made = _nullable(made, options[0])
    return made


def _nullable(schema: dict[str, Any], option: dict[str, Any]) -> dict[str, Any]:
    """`option` or null; a `$ref` has no type that null could be added to."""
    if not isinstance(option.get("type"), str):
        return schema
    rest = {name: member for name, member in schema.items() if name != "anyOf"}
    made = option | rest | {"type": [option["type"], "null"]}
    if "enum" in option:
        made["enum"] = [*option["enum"], None]
    return made
