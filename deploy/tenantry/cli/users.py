"""`tenantry users`: bulk work with a tenant's users over HTTP."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenantry.cli.commands import Data, Json, Url, group

if TYPE_CHECKING:
    from tenantry.importing import Progress
    from tenantry.reading import Source

app = group("Users of a tenant. Needs a key of it: TENANTRY_API_KEY or --data.")

INTERRUPTED = 130


@app.callback()
def _() -> None:
    """Keeps `import` a command of its own while it is the only one."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="NDJSON, or CSV with a header.")],
    form: Annotated[
        Literal["ndjson", "csv"] | None, typer.Option("--format", help="Else by the ending.")
    ] = None,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create users from a file. Interrupted, it goes on when it is run again.

    Bad lines go to FILE.rejected.ndjson with their reasons, and the exit code is 1.
    """
    from tenantry import importing
    from tenantry.api import tenant
    from tenantry.cli import showing
    from tenantry.reading import look_at

    source = look_at(file, form)
    api = tenant(url, data)
    progress = importing.begin(api, source)
    if progress.chunks and not as_json:
        typer.echo(f"Going on after line {progress.line}.", err=True)
    try:
        with _bar(source, quiet=as_json) as told:
            importing.run(api, source, progress, told)
    except KeyboardInterrupt:
        typer.secho(
            f"Interrupted after line {progress.line}: run it again to go on.", fg="yellow", err=True
        )
        raise typer.Exit(INTERRUPTED) from None
    rejected = str(importing.rejected_file(file)) if progress.rejected else None
    if as_json:
        counts = asdict(progress)
        shown = {name: counts[name] for name in ("created", "rejected", "replayed")}
        showing.as_json(shown | {"rejected_file": rejected})
    else:
        _tell(progress, rejected)
    raise typer.Exit(1 if progress.rejected else 0)


def _tell(progress: "Progress", rejected: str | None) -> None:
    from tenantry.cli import showing

    showing.say(f"{progress.created:,} created.", "green")
    if progress.replayed:
        showing.say(f"{progress.replayed:,} lines had been sent before: nothing was done twice.")
    if rejected:
        showing.say(f"{progress.rejected:,} rejected, with reasons in {rejected}", "yellow")


@contextmanager
def _bar(source: "Source", *, quiet: bool) -> Iterator[Callable[["Progress"], None]]:
    """A progress bar on stderr, where that is a terminal."""
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
        task = bar.add_task("users", total=source.lines, rejected=0)
        yield lambda now: bar.update(task, completed=now.line, rejected=now.rejected)
