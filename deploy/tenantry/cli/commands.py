"""What all commands share: how they fail, and the options that mean the same everywhere."""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tenantry.failing import Failed, Misconfigured

_AS_JSON = "tenantry.json"


class Commands(TyperGroup):
    """The root: whatever fails below ends in a sentence on stderr and an exit code, no traceback.

    With --json that is `{"error": {"code", "message", "fix", ...}}`.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Failed as failed:
            _say(failed, as_json=bool(ctx.meta.get(_AS_JSON)))
            raise typer.Exit(failed.exit_code) from None
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise
            if os.environ.get("TENANTRY_TRACEBACK"):
                raise
            unforeseen = Failed(
                f"{type(error).__name__}: {error}",
                "Set TENANTRY_TRACEBACK=1 and run it again to see where; please report it.",
                code="unforeseen",
            )
            _say(unforeseen, as_json=bool(ctx.meta.get(_AS_JSON)))
            raise typer.Exit(unforeseen.exit_code) from None


def group(help_text: str) -> typer.Typer:
    return typer.Typer(help=help_text, no_args_is_help=True)


def _say(failed: Failed, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": failed.shown()}), err=True)
        return
    typer.secho(failed, fg="red", err=True)
    faults = failed.more.get("errors", ())
    for fault in faults if len(faults) > 1 else ():
        typer.echo(f"  {fault['field']}: {fault['message']}", err=True)
    typer.echo(failed.fix, err=True)


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[_AS_JSON] = value
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.", callback=_remember)]
Url = Annotated[
    str | None,
    typer.Option(help="Where the API is; else TENANTRY_URL, else http://127.0.0.1:8400."),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Data folder of `tenantry dev`; .tenantry when it exists."),
]


def confirm(question: str, *, yes: bool) -> None:
    """Asks on a terminal; without one, --yes must have been given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Misconfigured("there is no terminal to ask on", "Say --yes if you are sure.")
    typer.confirm(question, abort=True, err=True)
