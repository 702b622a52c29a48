"""The root of all commands: every failure ends in a sentence on stderr and an exit code."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from tenantry.cli.options import JSON_WANTED
from tenantry.errors import CommandFailed, Misconfigured
from tenantry.installation import read_text


class RootGroup(TyperGroup):
    """No command shows a traceback. With --json a failure is
    `{"error": {"code", "message", "fix", ...}}`.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            _read_secret_files()
            return super().invoke(ctx)
        except CommandFailed as failed:
            error = failed
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except OSError as failed:
            if failed.errno == errno.EPIPE or os.environ.get("TENANTRY_TRACEBACK"):
                raise
            error = _of_system(failed)
        except Exception as unforeseen:
            if os.environ.get("TENANTRY_TRACEBACK"):
                raise
            error = CommandFailed(
                f"{type(unforeseen).__name__}: {unforeseen}",
                "Set TENANTRY_TRACEBACK=1 and run it again to see where; please report it.",
                code="unforeseen",
            )
        _print_error(error, as_json=bool(ctx.meta.get(JSON_WANTED)))
        raise typer.Exit(error.exit_code)


def _of_system(error: OSError) -> CommandFailed:
    """A file or a disk that does not do what is asked of it."""
    reason = error.strerror or str(error) or type(error).__name__
    message = f"{error.filename}: {reason}" if error.filename else reason
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return CommandFailed(message, "Make room there, or name another place.", code="disk_full")
    if error.filename:
        return Misconfigured(message, "Name a file or folder that you may read and write.")
    return CommandFailed(
        message, "Check disk, network and limits of this machine.", code="system_error"
    )


def _read_secret_files() -> None:
    """Variables that are not set come from the files of TENANTRY_SECRETS_DIR, as for processes."""
    folder = os.environ.get("TENANTRY_SECRETS_DIR")
    for file in Path(folder).glob("tenantry_*") if folder else ():
        os.environ.setdefault(file.name.upper(), read_text(file).strip())


def _print_error(error: CommandFailed, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": error.as_json()}), err=True)
        return
    typer.secho(error, fg="red", err=True)
    fields = error.details.get("errors", ())
    for field in fields if len(fields) > 1 else ():
        typer.echo(f"  {field['field']}: {field['message']}", err=True)
    typer.echo(error.fix, err=True)
