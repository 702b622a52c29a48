"""`tenantry users`: bulk work with a tenant's users over HTTP."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenantry.cli.options import Data, Json, Profile, Url, group

if TYPE_CHECKING:
    from tenantry.operations.user_files import UserFile
    from tenantry.operations.user_import import Progress

app = group("Users of a tenant. Needs a key of it: TENANTRY_API_KEY or --data.")


@app.callback()
def _() -> None:
    """Keeps `import` a command of its own while it is the only one."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="NDJSON, or CSV with a header.")],
    format_: Annotated[
        Literal["ndjson", "csv"] | None,
        typer.Option("--format", help="Default: by the extension of the file."),
    ] = None,
    url: Url = None,
    data: Data = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Create users from a file. If it was interrupted, run it again: it continues.

    Rejected lines go to FILE.rejected.ndjson with their reasons, and the exit code is 1.
    """
    from tenantry.access import Target
    from tenantry.api_client import connect_as_tenant
    from tenantry.cli.root import INTERRUPTED
    from tenantry.operations import user_import
    from tenantry.operations.user_files import read_user_file

    users = read_user_file(file, format_)
    with connect_as_tenant(Target(url, data, profile)) as tenant:
        progress = user_import.load_progress(tenant, users)
        if progress.chunks and not as_json:
            typer.echo(f"Continuing after line {progress.line}.", err=True)
        try:
            with _progress_bar(users, quiet=as_json) as report:
                user_import.import_users(tenant, users, progress, report)
        except KeyboardInterrupt:
            typer.secho(
                f"Interrupted after line {progress.line}: run it again to go on.",
                fg="yellow",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None
    rejected_file = user_import.rejected_file(file) if progress.rejected else None
    _print_result(progress, rejected_file, as_json=as_json)
    raise typer.Exit(1 if progress.rejected else 0)


def _print_result(progress: "Progress", rejected_file: Path | None, *, as_json: bool) -> None:
    from tenantry.cli import output

    if as_json:
        shown: dict[str, Any] = {
            "created": progress.created,
            "rejected": progress.rejected,
            "replayed": progress.replayed,
            "rejected_file": str(rejected_file) if rejected_file else None,
        }
        output.print_json(shown)
        return
    output.print_line(f"{progress.created:,} created.", "green")
    if progress.replayed:
        output.print_line(
            f"{progress.replayed:,} lines had been sent before: nothing was done twice."
        )
    if rejected_file:
        output.print_line(
            f"{progress.rejected:,} rejected, with reasons in {rejected_file}", "yellow"
        )


@contextmanager
def _progress_bar(users: "UserFile", *, quiet: bool) -> Iterator[Callable[["Progress"], None]]:
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns: tuple[Any, ...] = (
        "users",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        "{task.fields[rejected]} rejected",
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("users", total=users.lines, rejected=0)
        yield lambda now: bar.update(task, completed=now.line, rejected=now.rejected)
