"""The options that mean the same in all commands, and how a group of commands is made."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from tenantry.cli.standard_streams import plain
from tenantry.errors import Misconfigured

JSON_WANTED = "tenantry.json"
"""Where the context keeps whether the result, and so an error, is wanted as JSON."""
Format = Literal["table", "json", "yaml", "name"]


def group(help_text: str) -> typer.Typer:
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[JSON_WANTED] = value or ctx.meta.get(JSON_WANTED, False)
    return value


def _remember_format(ctx: typer.Context, value: Format) -> Format:
    ctx.meta[JSON_WANTED] = value == "json" or ctx.meta.get(JSON_WANTED, False)
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.", callback=_remember)]
Output = Annotated[
    Format,
    typer.Option(
        "--output", "-o", help="How to print: name is the identifiers alone.",
        callback=_remember_format,
    ),
]  # fmt: skip
_URL_HELP = "Address of the API. Default: TENANTRY_URL, else http://127.0.0.1:8400."
Url = Annotated[str | None, typer.Option("--url", "--api-url", help=_URL_HELP)]
ApiUrl = Annotated[str | None, typer.Option("--api-url", help=_URL_HELP)]
"""Of a command whose --url is something else."""
Data = Annotated[
    Path | None,
    typer.Option(help="Data folder of `tenantry dev`. Default: .tenantry, if it exists."),
]
Profile = Annotated[
    str | None,
    typer.Option(help="Address and key kept by `tenantry login`. Default: TENANTRY_PROFILE."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Asks on a terminal. Without a terminal, --yes is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        line = shlex.join(["tenantry", *sys.argv[1:], "--yes"])
        raise Misconfigured("there is no terminal to ask on", f"If you are sure, run `{line}`.")
    typer.confirm(plain(question), abort=True, err=True)
