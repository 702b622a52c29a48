"""The inputs that a JSON Schema asks for: a kind, bounds and a hint for each of its values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "text", "email", "number", "time", "flag", "choice", "choices", "lines", "json", "left_out"
]
_SEPARATOR = "."


@dataclass(frozen=True)
class Part:
    path: tuple[str, ...]
    kind: Kind
    default: Any
    required: bool
    nullable: bool
    hint: str
    choices: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def name(self) -> str:
        return _SEPARATOR.join(self.path)


def parts_of(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[Part]:
    for name, declared in schema["properties"].items():
        nullable, inner = _resolve(declared, definitions)
        here = (*path, name)
        if inner.get("properties"):
            yield from parts_of(inner, definitions, here)
            continue
        kind, choices = _kind(inner, definitions)
        examples = inner.get("examples") or declared.get("examples") or [None]
        yield Part(
            path=here,
            kind=kind,
            default=declared.get("default", inner.get("default")),
            required=name in schema.get("required", ()) and kind not in ("flag", "choices"),
            nullable=nullable,
            hint=_hint(name, kind, examples[0]),
            choices=choices,
            attributes=_attributes(inner),
        )


def _resolve(
    declared: Mapping[str, Any], definitions: Mapping[str, Any]
) -> tuple[bool, Mapping[str, Any]]:
    """Whether it may be null, and the schema of what it is else."""
    nullable = False
    inner = declared
    if alternatives := declared.get("anyOf"):
        others = [each for each in alternatives if each.get("type") != "null"]
        nullable, inner = len(others) < len(alternatives), others[0]
    if reference := inner.get("$ref"):
        inner = definitions[reference.rpartition("/")[2]]
    return nullable, inner


_KINDS: dict[tuple[str | None, str | None], Kind] = {
    ("boolean", None): "flag",
    ("integer", None): "number",
    ("array", None): "lines",
    ("string", None): "text",
    ("string", "email"): "email",
    ("string", "date-time"): "time",
}


def _kind(
    schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> tuple[Kind, tuple[str, ...]]:
    """The kind of input of a value, and what there is to choose from."""
    if choices := schema.get("enum"):
        return "choice", tuple(choices)
    if items := schema.get("items"):
        _, inner = _resolve(items, definitions)
        if choices := inner.get("enum"):
            return "choices", tuple(choices)
    return _KINDS.get((schema.get("type"), schema.get("format")), "json"), ()


_SECONDS = ("_ttl", "_timeout", "_period", "overlap", "expires_in")
"""How the names of numbers end that are seconds."""


def _hint(name: str, kind: Kind, example: Any) -> str:
    if kind == "time":
        empty = "; empty for never" if name == "expires_at" else ""
        return f"UTC, such as 2026-01-15T10:00:00Z{empty}"
    if kind == "number" and name.endswith(_SECONDS):
        return "In seconds"
    if kind == "lines":
        return f"One a line, such as {example[0]}" if example else "One a line"
    if kind == "json":
        return "A JSON object"
    return f"Such as {example}" if example is not None and kind in ("text", "email") else ""


_BOUNDS = {"minimum": "min", "maximum": "max", "maxLength": "maxlength"}


def _attributes(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The bounds that a browser checks too."""
    return {_BOUNDS[name]: schema[name] for name in _BOUNDS if name in schema}
