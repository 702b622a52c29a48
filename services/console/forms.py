"""Forms made from the JSON Schema of a body: its fields as inputs, and what was sent as JSON again.

The schema is that of the API's own model, so that a form has each field that the API has.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import FormData

from console.form_parts import Kind, Part, parts_of
from console.presentation import as_json, in_element, label_of


@dataclass(frozen=True)
class Field:
    """An input. `value` is the text that it shows, a list for `choices`; `error` stands beside it.

    `name` is the path in the body, its parts separated by dots.
    """

    name: str
    kind: Kind
    value: Any
    label: str
    hint: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    nullable: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def size(self) -> int:
        """Bytes that it takes in a page, at least."""
        return len(in_element(str(self.value)).encode())


@dataclass(frozen=True)
class Errors:
    """What is wrong with a form: by the name of the field, and of it as a whole. `until` is when
    that passes by itself.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    whole: str | None = None
    until: datetime | None = None

    @property
    def first(self) -> str | None:
        """The name of a field that is wrong, which gets the focus."""
        return next(iter(self.fields), None)

    def of(self, name: str) -> str | None:
        """The error of a field, or of a part of it such as `settings.mfa` or `events.0`."""
        if name in self.fields:
            return self.fields[name]
        inner = (text for key, text in self.fields.items() if key.startswith(f"{name}."))
        return next(inner, None)


class UnreadableFormError(Exception):
    """A field whose text is not of its kind."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(str(errors))
        self.errors = Errors(errors)


class Form:
    """The form of a model."""

    def __init__(self, model: type[BaseModel], names: Collection[str] | None = None) -> None:
        """`names`: those of its fields that the form has; all, if it is not given."""
        schema = model.model_json_schema()
        definitions = schema.get("$defs", {})
        self._parts = [
            part
            for part in parts_of(schema, definitions, ())
            if names is None or part.path[0] in names
        ]

    def fields(
        self,
        values: Mapping[str, Any],
        errors: Errors | None = None,
        left_out: Collection[str] = (),
    ) -> list[Field]:
        """The inputs, with values of a resource in JSON's types, or what was typed before. There is
        no input for those that are `left_out`, and `read` says nothing of them.
        """
        errors = errors or Errors()
        return [
            Field(
                name=part.name,
                kind="left_out" if part.name in left_out else part.kind,
                value=_shown(part, _look_up(values, part.path, part.default)),
                label=label_of(part.path[-1]),
                hint=part.hint,
                choices=part.choices,
                required=part.required,
                nullable=part.nullable,
                attributes=part.attributes,
                error=errors.of(part.name),
            )
            for part in self._parts
        ]

    def read(self, form: FormData) -> dict[str, Any]:
        """The body that was typed. Raises UnreadableFormError."""
        body: dict[str, Any] = {}
        errors: dict[str, str] = {}
        absent = self.absent(form)
        for part in self._parts:
            if part.name in absent:
                continue
            try:
                value = _typed(part, form)
            except ValueError as error:
                errors[part.name] = str(error)
                continue
            if value is None and not part.nullable:
                continue
            inner = body
            for name in part.path[:-1]:
                inner = inner.setdefault(name, {})
            inner[part.path[-1]] = value
        if errors:
            raise UnreadableFormError(errors)
        return body

    def too_long(self, fields: Sequence[Field], room: int) -> list[str]:
        """The names of the longest fields, without which the others have room."""
        names = []
        for each in sorted(fields, key=lambda field: field.size, reverse=True):
            if sum(field.size for field in fields if field.name not in names) <= room:
                break
            names.append(each.name)
        return names

    def absent(self, form: FormData) -> list[str]:
        """The names of the inputs that the form did not have: an empty one is sent too."""
        return [
            part.name
            for part in self._parts
            if part.kind not in ("flag", "choices") and part.name not in form
        ]

    def typed(self, form: FormData) -> dict[str, Any]:
        """The texts as they were typed, to show them again."""
        typed: dict[str, Any] = {}
        for part in self._parts:
            inner = typed
            for name in part.path[:-1]:
                inner = inner.setdefault(name, {})
            texts = [text for text in form.getlist(part.name) if isinstance(text, str)]
            if part.kind == "choices":
                inner[part.path[-1]] = texts
            elif part.kind == "flag":
                inner[part.path[-1]] = bool(texts)
            else:
                inner[part.path[-1]] = _Typed(texts[0] if texts else "")
        return typed


class _Typed(str):
    """A text of a form, not a value of its kind."""

    __slots__ = ()


def _look_up(values: Mapping[str, Any], path: tuple[str, ...], default: Any) -> Any:
    inner: Any = values
    for name in path:
        if not isinstance(inner, Mapping) or name not in inner:
            return default
        inner = inner[name]
    return inner


def _shown(part: Part, value: Any) -> Any:
    if isinstance(value, _Typed):
        return str(value)
    match part.kind:
        case "choices":
            return value or []
        case "flag":
            return bool(value)
        case "lines":
            return "\n".join(value or [])
        case "json":
            return as_json(value or {})
        case _:
            return "" if value is None else str(value)


def _typed(part: Part, form: FormData) -> Any:
    """The JSON value that was typed; None for an empty field. Raises ValueError."""
    texts = [text for text in form.getlist(part.name) if isinstance(text, str)]
    if part.kind == "flag":
        return bool(texts)
    if part.kind == "choices":
        return texts
    text = texts[0] if texts else ""
    if part.kind == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if not text.strip():
        return None
    return {"number": _number, "json": _object}.get(part.kind, str)(text)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object: { … }")  # noqa: TRY004 - what was typed
    return value
