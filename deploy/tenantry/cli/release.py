"""The steps before a release, on databases and broker: schemas, the stream and its consumers."""

from typing import Annotated

import typer

from tenantry.cli.commands import Data, Json


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 when something is pending.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Bring every service's schema up to date, by TENANTRY_<SERVICE>_MIGRATION_URL or --data."""
    from tenantry.cli import showing
    from tenantry.installation import backing
    from tenantry.keys import SERVICES
    from tenantry.schemas import pending, upgrade

    place = backing(data)
    urls = {service: place.migration(service) for service in SERVICES}
    step = pending if check else upgrade
    found = {service: step(service, url) for service, url in urls.items()}
    if as_json:
        showing.as_json({"pending" if check else "applied": found})
    else:
        word = "is pending" if check else "applied"
        for service, revisions in found.items():
            for revision in revisions:
                typer.echo(f"{service}: {revision} {word}")
        if not any(found.values()):
            typer.echo("Every schema is up to date.")
    raise typer.Exit(1 if check and any(found.values()) else 0)


def bootstrap(
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and make again what vanishes.")
    ] = False,
    replicas: Annotated[
        int | None,
        typer.Option(
            help="On how many servers of a cluster events are kept: 3 survives the loss of one. "
            "Left as it is when not given.",
            envvar="TENANTRY_NATS_REPLICAS",
            min=1,
            max=5,
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make the stream and its consumers, or update them, by TENANTRY_NATS_ADMIN_URL or --data.

    With --watch it looks every two seconds, and tells of what it made again as JSON lines.
    """
    import asyncio

    from contracts.topology import SERVICE_NAMES

    from tenantry import brokers
    from tenantry.cli import showing
    from tenantry.installation import backing

    url = backing(data).nats()
    if watch:
        asyncio.run(brokers.watch(url, replicas))
        return
    asyncio.run(brokers.bootstrap(url, replicas))
    if as_json:
        showing.as_json({"stream": "EVENTS", "consumers": list(SERVICE_NAMES)})
    else:
        typer.echo(f"The stream and its consumers are there: {', '.join(SERVICE_NAMES)}.")
