"""Commands made of the operations of the API, when they are asked for: a noun, then a verb.

A command that is written by hand takes the place of an operation's.
"""

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from inspect import Parameter, Signature
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup
from typer.main import get_command

from tenantry.cli.operations import Field, Operation, load_operations
from tenantry.cli.options import ApiUrl, Data, Json, Output, Profile, Url, Yes

_TYPES: dict[str, Any] = {"integer": int, "number": float, "boolean": bool}
_HELP = {
    "time": "A time, or a span such as 90d.",
    "list": "Repeat it for more.",
    "object": "NAME=VALUE; repeat it for more.",
}


_VERBS = ("list", "get", "create", "add", "update", "delete", "remove")


def _order(verb: str) -> int:
    """Verbs that each resource has come first; of the rest, the API's order stays."""
    return _VERBS.index(verb) if verb in _VERBS else len(_VERBS)


class ResourceGroup(TyperGroup):
    """The commands of a noun; `by_hand` is the module with those that no operation can make."""

    def __init__(self, noun: str, by_hand: str | None = None) -> None:
        operations = load_operations().get(noun, {})
        self._operations = {verb: operations[verb] for verb in sorted(operations, key=_order)}
        self._module = by_hand
        verbs = dict.fromkeys((*self._operations, *(self._by_hand() if by_hand else ())))
        text = f"{', '.join(verbs)}."
        super().__init__(name=noun, help=text, no_args_is_help=True, rich_markup_mode=None)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        by_hand = self._by_hand() if self._module else {}
        return list(dict.fromkeys((*self._operations, *by_hand)))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if self._module and (found := self._by_hand().get(cmd_name)):
            return found
        operation = self._operations.get(cmd_name)
        return None if operation is None else command_of(operation)

    def _by_hand(self) -> dict[str, Any]:
        module = import_module(f"tenantry.cli.{self._module}")
        return dict(get_command(module.app).commands)  # type: ignore[attr-defined]


def command_of(operation: Operation) -> Any:
    """The command, as of a function with a parameter for each option."""

    def call(**given: Any) -> None:
        from tenantry.cli.call_operation import call_operation

        call_operation(operation, given)

    parameters = list(_parameters(operation))
    call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    made = typer.Typer(rich_markup_mode=None, add_completion=False)
    made.command(operation.verb, help=operation.help)(call)
    return get_command(made)


def _parameters(operation: Operation) -> Iterator[Parameter]:
    for parent in operation.parents:
        by = f" or its {parent.find.by}" if parent.find else ""
        shown = f"The identifier ({parent.prefix}_…){by}."
        argument = typer.Argument(metavar=parent.metavar.upper(), help=shown)
        yield _parameter(f"id_{parent.name}", str, argument, Parameter.empty)
    for field in operation.query:
        yield _option(f"query_{field.name}", field)
    for field in operation.body:
        yield _option(f"body_{field.name}", field)
    if operation.body:
        text = "A JSON file with the body, - for standard input; options come on top."
        yield _parameter("body_file", str | None, typer.Option("--body", help=text), None)
    if operation.method == "PATCH" and (names := _clearable(operation)):
        text = f"Clear it: {', '.join(names)}. Repeat it for more."
        yield _parameter("unset", list[str] | None, typer.Option("--unset", help=text), None)
    yield from _common(operation)


def _clearable(operation: Operation) -> list[str]:
    return [each.name for each in operation.body if each.nullable or each.kind == "list"]


def _common(operation: Operation) -> Iterator[Parameter]:
    plain = partial(Parameter, kind=Parameter.KEYWORD_ONLY)
    if operation.is_paged:
        yield _parameter("limit", int, typer.Option(help="Show at most so many.", min=1), 50)
        yield _parameter("all_", bool, typer.Option("--all", help="Show all there are."), False)
    if operation.cannot_be_undone:
        yield plain("yes", annotation=Yes, default=False)
    if operation.previews:
        text = "Only show what would be deleted."
        yield _parameter("dry_run", bool, typer.Option("--dry-run", help=text), False)
        text = "Seconds to wait for what is deleted in steps."
        yield _parameter("wait", int, typer.Option(help=text), 60)
    yield plain("output", annotation=Output, default="table")
    yield plain("as_json", annotation=Json, default=False)
    names = {field.name for field in (*operation.query, *operation.body)}
    yield plain("url", annotation=ApiUrl if "url" in names else Url, default=None)
    yield plain("data", annotation=Data, default=None)
    yield plain("profile", annotation=Profile, default=None)


def _option(name: str, field: Field) -> Parameter:
    one: Any = _TYPES.get(field.kind, str)
    is_many = field.kind in ("list", "object")
    texts = ["Required." if field.required else "", field.help, _HELP.get(field.kind, "")]
    if is_many and field.choices:
        texts.append(f"One of {', '.join(map(str, field.choices))}.")
    elif field.choices:
        one = Literal[field.choices]
    names = [field.option]
    if field.kind == "boolean":
        names = [f"{field.option}/--no-{field.option[2:]}"]

    def complete(incomplete: str) -> list[str]:
        return [each for each in map(str, field.choices) if each.startswith(incomplete)]

    declared = typer.Option(
        *names,
        help=" ".join(filter(None, texts)),
        autocompletion=complete if is_many and field.choices else None,
    )
    return _parameter(name, (list[one] if is_many else one) | None, declared, None)


def _parameter(name: str, kind: Any, declared: Any, default: Any) -> Parameter:
    return Parameter(
        name, Parameter.KEYWORD_ONLY, annotation=Annotated[kind, declared], default=default
    )
