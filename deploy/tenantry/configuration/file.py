"""Files of configuration, read as YAML 1.2; every fault has its line and column.

Nothing is applied of a file that has one.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tenantry.configuration.models import ENTRIES, IDENTITY, Configuration
from tenantry.errors import CommandFailed
from tenantry.installation import read_text

STANDARD_INPUT = "-"
MOST_NODES = 200_000
MOST_FAULTS = 20
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null")}
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Fault:
    file: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.text}"


@dataclass
class _Document:
    """The value of a file, and where each part of it stands."""

    file: str
    value: Any = None
    places: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    nodes: int = 0
    yaml: YAML = field(default_factory=lambda: YAML(typ="safe", pure=True))

    def fault(self, path: Path_, text: str) -> None:
        """At the path, or at the nearest part around it that stands in the file."""
        at = path
        while at and at not in self.places:
            at = at[:-1]
        line, column = self.places.get(at, (1, 1))
        shown = _shown(path)
        self.faults.append(Fault(self.file, line, column, f"{shown}: {text}" if shown else text))


def read_configuration(files: Sequence[str]) -> Configuration:
    """All files as one. Raises CommandFailed, with every fault: nothing of them is to be used."""
    documents = [_read(file) for file in files]
    found: dict[str, list[Any]] = {}
    given: set[str] = set()
    for document in documents:
        part = _validated(document)
        if part is not None:
            given |= part.model_fields_set
            for name in IDENTITY.keys() & part.model_fields_set:
                found.setdefault(name, []).extend(getattr(part, name))
    _find_doubles(documents)
    faults = [fault for document in documents for fault in document.faults]
    if faults:
        more = len(faults) - MOST_FAULTS
        lines = [str(each) for each in faults[:MOST_FAULTS]]
        raise CommandFailed(
            "\n".join(lines + ([f"and {more} more"] if more > 0 else [])),
            "Nothing was applied. `tenantry apply --schema` prints what a file may have.",
            code="invalid_file",
            faults=[vars(each) for each in faults[:MOST_FAULTS]],
        )
    return Configuration.model_construct(_fields_set=given, tenantry=1, **_with_all(found))


def _with_all(found: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: found.get(name, []) for name in ("projects", "organizations", "webhooks")}


def _read(file: str) -> _Document:
    from pathlib import Path

    document = _Document("standard input" if file == STANDARD_INPUT else file)
    text = sys.stdin.read() if file == STANDARD_INPUT else read_text(Path(file))
    try:
        node = document.yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.faults.append(Fault(document.file, line, column, str(error.problem)))
        return document
    except (YAMLError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        document.fault((), f"this is no YAML: {reason}")
        return document
    if node is None:
        document.fault((), "is empty")
        return document
    document.value = _value(document, node, ())
    return document


def _value(document: _Document, node: Node, path: Path_) -> Any:
    document.places.setdefault(path, _place(node))
    document.nodes += 1
    if document.nodes > MOST_NODES or len(path) > 32:
        if document.nodes <= MOST_NODES + 1:
            document.fault(path, "is too large, or refers to itself")
        return None
    if isinstance(node, MappingNode):
        return _mapping(document, node, path)
    if isinstance(node, SequenceNode):
        return [_value(document, each, (*path, at)) for at, each in enumerate(node.value)]
    assert isinstance(node, ScalarNode), "YAML has no other kind"
    if node.tag in _PLAIN:
        return document.yaml.constructor.construct_object(node)
    return node.value


def _mapping(document: _Document, node: MappingNode, path: Path_) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, each in node.value:
        name = key.value if isinstance(key, ScalarNode) else "?"
        inner = (*path, name)
        document.places[inner] = _place(key)
        if name in found:
            document.fault(inner, "stands here twice")
        found[name] = _value(document, each, inner)
    return found


def _place(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _validated(document: _Document) -> Configuration | None:
    if document.faults:
        return None
    try:
        return Configuration.model_validate(document.value)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            path = tuple(each["loc"])
            document.fault(path, _text_of(each, path))
    return None


def _text_of(error: Any, path: Path_) -> str:
    if error["type"] == "extra_forbidden":
        return f"is not known here: one of {', '.join(_allowed(path[:-1]))}"
    if error["type"] == "missing":
        return "is required"
    message: str = error["msg"]
    return message[0].lower() + message[1:]


def _allowed(path: Path_) -> list[str]:
    """The fields that an object there may have."""
    model: type[BaseModel] = Configuration
    for part in path:
        if isinstance(part, str) and part in ENTRIES:
            model = ENTRIES[part]
        elif isinstance(part, str) and part in model.model_fields:
            kind = model.model_fields[part].annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return list(model.model_fields)


def _find_doubles(documents: Sequence[_Document]) -> None:
    """Two of one slug, name or URL, in one file or in several."""
    first: dict[tuple[Any, ...], str] = {}
    for document in documents:
        if document.faults:
            continue
        for scope, kind, path, value in _named(document.value, ()):
            line, _ = document.places[path]
            place = f"{document.file}:{line}"
            before = first.setdefault((*scope, kind, value), place)
            if before != place:
                document.fault(path, f"{value} is there already, at {before}")


def _named(
    value: Any, scope: tuple[Any, ...], at: Path_ = ()
) -> Iterator[tuple[tuple[Any, ...], str, Path_, Any]]:
    for kind in IDENTITY.keys() & value.keys():
        for index, entry in enumerate(value[kind]):
            identity = entry[IDENTITY[kind]]
            path = (*at, kind, index)
            yield scope, kind, (*path, IDENTITY[kind]), identity
            yield from _named(entry, (*scope, identity), path)


def _shown(path: Path_) -> str:
    """`projects[0].settings.mfa`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
