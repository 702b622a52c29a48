"""The root of all commands: every failure ends in a sentence on stderr and an exit code.

A signal ends a command as an exception does, so that nothing half written is left.
"""

import errno
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tenantry.cli.old_forms import translate
from tenantry.cli.operations import load_operations
from tenantry.cli.options import JSON_WANTED
from tenantry.cli.resource_commands import ResourceGroup
from tenantry.cli.standard_streams import discard_output, plain, prepare_streams
from tenantry.errors import CommandFailed, Misconfigured
from tenantry.installation import read_text

_BY_HAND = {name: name for name in ("audit", "events", "keys", "users", "webhooks")}
"""The modules with commands of a noun that no operation can make."""
INTERRUPTED = 128 + signal.SIGINT


class RootGroup(TyperGroup):
    """No command shows a traceback. With --json a failure is
    `{"error": {"code", "message", "fix", ...}}`.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return [*load_operations(), *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in load_operations():
            return ResourceGroup(cmd_name, _BY_HAND.get(cmd_name))
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Resources with their verbs, then what is done to an installation."""
        nouns = load_operations()
        for title, names in (
            ("Resources", nouns),
            ("Commands", [name for name in self.list_commands(ctx) if name not in nouns]),
        ):
            commands = {name: self.get_command(ctx, name) for name in names}
            with formatter.section(title):
                formatter.write_dl(
                    [(name, each.get_short_help_str(100)) for name, each in commands.items()]
                )

    def main(self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any) -> Any:
        prepare_streams()
        _exit_on_signals()
        arguments, note = translate(sys.argv[1:] if args is None else args)
        try:
            return super().main(arguments, *more, **kwargs)
        except SystemExit as ended:
            # With --json an error stands alone on stderr.
            if note is not None and not (ended.code and "--json" in arguments):
                typer.echo(plain(note), err=True)
            raise
        except OSError as failed:  # of what is written outside of a command, such as --help
            if os.environ.get("TENANTRY_TRACEBACK"):
                raise
            error = _of_system(failed)
            with suppress(OSError):
                discard_output()
            with suppress(OSError):
                _print_error(error, as_json=False)
            sys.exit(error.exit_code)

    def invoke(self, ctx: Any) -> Any:
        try:
            _read_secret_files()
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # a full disk or a closed pipe shows here, not at the very end
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except CommandFailed as failed:
            error = failed
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except OSError as failed:
            if failed.errno == errno.EPIPE or os.environ.get("TENANTRY_TRACEBACK"):
                raise
            error = _of_system(failed)
            with suppress(OSError):
                discard_output()
        except Exception as unforeseen:
            if os.environ.get("TENANTRY_TRACEBACK"):
                raise
            error = CommandFailed(
                f"{type(unforeseen).__name__}: {unforeseen}",
                "Set TENANTRY_TRACEBACK=1 and run it again to see where; please report it.",
                code="unforeseen",
            )
        with suppress(OSError):  # nobody listens: the exit code tells
            _print_error(error, as_json=bool(ctx.meta.get(JSON_WANTED)))
        raise typer.Exit(error.exit_code)


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"tenantry {version('tenantry')}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """The options of the command itself."""


def _exit_on_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores one
            signal.signal(number, lambda received, _: sys.exit(128 + received))


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
    if not folder:
        return
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - raises if it cannot be read
        if not name.upper().startswith("TENANTRY_"):
            continue
        file = Path(folder, name)
        os.environ.setdefault(file.name.upper(), read_text(file).strip())


def _print_error(error: CommandFailed, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": error.as_json()}), err=True)
        return
    typer.secho(plain(str(error)), fg="red", err=True)
    fields = error.details.get("errors", ())
    for field in fields if len(fields) > 1 else ():
        typer.echo(plain(f"  {field.get('field')}: {field.get('message')}"), err=True)
    typer.echo(plain(error.fix), err=True)
