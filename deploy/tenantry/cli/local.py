"""Commands of one machine: the whole product, its story and its welcome, drafts of migrations."""

from pathlib import Path
from typing import Annotated

import typer

from tenantry.cli.commands import Data, Json, Url


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


def demo(url: Url = None, data: Data = None) -> None:
    """Tell a whole story to a running product. Needs the operator's key."""
    from tenantry import installation
    from tenantry.story import tell

    address = installation.address(url, data)
    raise typer.Exit(tell(address, installation.credential("operator_key", address, data)))


def welcome(
    keep: Annotated[Path, typer.Option(help="File that keeps the key.")],
    show: Annotated[str | None, typer.Option(help="The address to show, where it differs.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make the tenant Demo, once, and show its key and a first request: a step after a start."""
    from tenantry import console, installation
    from tenantry.api import operator
    from tenantry.cli import showing
    from tenantry.welcome import demo_key

    address = installation.address(url, None)
    shown = (show or address).rstrip("/")
    key = demo_key(operator(url, None), address, keep)
    if as_json:
        showing.as_json({"base_url": shown, "api_key": key})
    else:
        console.welcome(shown, key)


def draft_migration(service: str, message: str) -> None:
    """Write a migration with what a service's tables have and its newest revision has not."""
    import asyncio

    from tenantry.drafting import draft
    from tenantry.failing import Misconfigured
    from tenantry.keys import SERVICES

    if service not in SERVICES:
        raise Misconfigured(f"there is no service {service}", f"Take one of {', '.join(SERVICES)}.")
    asyncio.run(draft(service, message))
