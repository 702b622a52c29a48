"""`tenantry dev`, and what is run beside or after it: `demo` and `welcome`."""

from pathlib import Path
from typing import Annotated

import typer

from tenantry.cli.options import Data, Json, Url


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
        bool, typer.Option("--demo/--no-demo", help="Create a demo tenant and show its key.")
    ] = True,
    console: Annotated[
        bool,
        typer.Option("--console/--no-console", help="Run the console, on the port after the API."),
    ] = True,
    servers_only: Annotated[
        bool,
        typer.Option("--servers-only", help="Only PostgreSQL, NATS and Redis, to work on them."),
    ] = False,
) -> None:
    """Run the whole product here, its servers included. Ctrl-C stops it."""
    from tenantry.dev.run import run
    from tenantry.dev.stack import Options

    raise typer.Exit(run(Options(port, data, ready_file, demo, console, servers_only)))


def demo(url: Url = None, data: Data = None) -> None:
    """Run a demo scenario on a running product. Needs the operator's key."""
    from tenantry.connection import check_reachable
    from tenantry.demo_scenario import run_scenario
    from tenantry.installation import api_url, credential

    address = api_url(url, data)
    key = credential("operator_key", address, data)
    check_reachable(address)
    raise typer.Exit(run_scenario(address, key))


def welcome(
    keep: Annotated[Path, typer.Option(help="File that keeps the key.")],
    show: Annotated[
        str | None, typer.Option(help="The address to show, if it is another one.")
    ] = None,
    console: Annotated[str | None, typer.Option(help="The console's address, to show.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Create the tenant Demo, once, and show its key and a first request. Run it after a start."""
    from tenantry.access import Target
    from tenantry.api_client import connect_as_operator
    from tenantry.atomic_file import replace_file
    from tenantry.cli import output
    from tenantry.data_folder.secrets import DemoTenant
    from tenantry.dev.console import print_welcome
    from tenantry.dev.demo_tenant import get_or_create_demo_tenant
    from tenantry.installation import api_url, read_text

    address = api_url(url, None)
    kept = DemoTenant(api_key=read_text(keep).strip() if keep.exists() else None)
    with connect_as_operator(Target(address)) as operator:
        demo = get_or_create_demo_tenant(operator, address, kept)
    key = str(demo.api_key)
    if demo is not kept:
        with replace_file(keep) as file:
            file.write(key.encode() + b"\n")
    shown = (show or address).rstrip("/")
    if as_json:
        output.print_json({"base_url": shown, "api_key": key})
    else:
        print_welcome(shown, console, key)
