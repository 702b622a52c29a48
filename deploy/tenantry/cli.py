"""The commands. Each imports what it needs inside: the supervisor must stay light."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Tenantry: multi-tenant authentication you run yourself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def dev(
    port: Annotated[
        int,
        typer.Option(help="Port of the API on 127.0.0.1; 0 takes any free one.", min=0, max=65535),
    ] = 8400,
    data: Annotated[Path, typer.Option(help="Folder that keeps everything.")] = Path(".tenantry"),
    ready_file: Annotated[
        Path | None, typer.Option(help="JSON file to write when all is ready.")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Make a demo tenant and show its key.")
    ] = True,
) -> None:
    """Run the whole product here, its servers included. Ctrl-C stops it."""
    from tenantry.dev import run
    from tenantry.stack import Options

    raise typer.Exit(run(Options(port, data, ready_file, demo)))


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 when something is pending.")
    ] = False,
) -> None:
    """Bring every service's schema up to date, by TENANTRY_<SERVICE>_MIGRATION_URL."""
    from chassis import migrate as schema

    from tenantry.keys import SERVICES

    urls = {service: _required(f"TENANTRY_{service.upper()}_MIGRATION_URL") for service in SERVICES}
    if not check:
        for service, url in urls.items():
            schema.upgrade(service, url)
        return
    pending = {service: schema.pending(service, url) for service, url in urls.items()}
    for service, revisions in pending.items():
        for revision in revisions:
            typer.echo(f"{service}: {revision} is pending")
    if any(pending.values()):
        raise typer.Exit(1)


@app.command()
def bootstrap() -> None:
    """Create or update the streams and consumers, by TENANTRY_NATS_ADMIN_URL."""
    from chassis import streams

    asyncio.run(streams.bootstrap(_required("TENANTRY_NATS_ADMIN_URL")))


@app.command()
def demo(
    url: Annotated[str, typer.Option(help="Where the product runs.")] = "http://127.0.0.1:8400",
    data: Annotated[
        Path, typer.Option(help="Folder of `tenantry dev`, for the operator's key.")
    ] = Path(".tenantry"),
) -> None:
    """Tell a whole story to a running product; TENANTRY_OPERATOR_KEY may stand in for --data."""
    from tenantry.story import tell

    key = os.environ.get("TENANTRY_OPERATOR_KEY")
    if key is None:
        try:
            key = json.loads((data / "secrets.json").read_text())["operator_key"]
        except OSError:
            typer.secho(f"{data} is not a data folder: start `make run` first", fg="red", err=True)
            raise typer.Exit(2) from None
    raise typer.Exit(tell(url, key))


@app.command("draft-migration")
def draft_migration(service: str, message: str) -> None:
    """Write a migration with what a service's tables have and its newest revision has not."""
    from tenantry.drafting import draft

    asyncio.run(draft(service, message))


def _required(variable: str) -> str:
    if value := os.environ.get(variable):
        return value
    typer.secho(f"{variable} is not set", fg="red", err=True)
    raise typer.Exit(2)
