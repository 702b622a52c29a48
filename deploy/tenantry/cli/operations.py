"""The operations of the API as commands see them: operations.json, which `make commands` writes.

Read at every start: plain JSON, so that nobody waits for the models that it was made of.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

FILE = Path(__file__).with_name("operations.json")

Kind = Literal["text", "integer", "number", "boolean", "time", "list", "object"]


@dataclass(frozen=True)
class Field:
    """A parameter of the query, or a member of the body."""

    name: str
    kind: Kind
    help: str
    choices: tuple[Any, ...] = ()
    required: bool = False
    nullable: bool = False

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Finder:
    """The list in which a resource is found by its slug or email address."""

    path: str
    items: str
    by: str
    query: str


@dataclass(frozen=True)
class Parent:
    """An identifier in the path. `metavar` names the kind of resource."""

    name: str
    prefix: str
    metavar: str
    find: Finder | None = None


@dataclass(frozen=True)
class Operation:
    """`fixed` members are sent as they are. `items` names the list of a result, `key` what
    identifies one of it, and `columns` what a table shows.
    """

    id: str
    noun: str
    verb: str
    method: str
    path: str
    help: str
    credential: Literal["none", "operator_key", "api_key", "either"]
    parents: tuple[Parent, ...]
    query: tuple[Field, ...]
    body: tuple[Field, ...]
    fixed: dict[str, Any]
    previews: bool
    shows_secret: bool
    is_form: bool
    is_paged: bool
    items: str | None = None
    key: str = "id"
    columns: tuple[str, ...] = field(default=())

    @property
    def has_body(self) -> bool:
        return bool(self.body or self.fixed)

    @property
    def cannot_be_undone(self) -> bool:
        """It deletes, revokes or removes: a command asks before it."""
        return self.method == "DELETE" or self.verb == "revoke"

    @property
    def command(self) -> str:
        return f"tenantry {self.noun} {self.verb}"


@cache
def load_operations() -> dict[str, dict[str, Operation]]:
    """By noun and verb."""
    found: dict[str, dict[str, Operation]] = {}
    for each in json.loads(FILE.read_text(encoding="utf-8")):
        operation = _operation(each)
        found.setdefault(operation.noun, {})[operation.verb] = operation
    return found


def _operation(content: dict[str, Any]) -> Operation:
    content["parents"] = tuple(
        Parent(**{**each, "find": Finder(**each["find"]) if "find" in each else None})
        for each in content["parents"]
    )
    for part in ("query", "body"):
        content[part] = tuple(
            Field(**{**each, "choices": tuple(each.get("choices", ()))}) for each in content[part]
        )
    return Operation(**content)
