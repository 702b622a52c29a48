"""The options that mean the same in all commands, and how a group of commands is made."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tenantry.errors import Misconfigured

JSON_WANTED = "tenantry.json"
"""Where the context keeps whether --json was given."""


def group(help_text: str) -> typer.Typer:
    return typer.Typer(help=help_text, no_args_is_help=True)


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[JSON_WANTED] = value
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.", callback=_remember)]
Url = Annotated[
    str | None,
    typer.Option(help="Address of the API. Default: TENANTRY_URL, else http://127.0.0.1:8400."),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Data folder of `tenantry dev`. Default: .tenantry, if it exists."),
]


def confirm(question: str, *, yes: bool) -> None:
    """Asks on a terminal. Without a terminal, --yes is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Misconfigured("there is no terminal to ask on", "Say --yes if you are sure.")
    typer.confirm(question, abort=True, err=True)
