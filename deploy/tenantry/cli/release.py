"""The steps of a release, on databases and NATS: schemas, the stream and its consumers."""

from typing import Annotated

import typer

from tenantry.cli.options import Data, Json


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 when something is pending.")
    ] = False,
    after_rollout: Annotated[
        bool,
        typer.Option(
            "--after-rollout",
            help="Also what has to wait until no process of the release before runs.",
        ),
    ] = False,
    audit_retention_days: Annotated[
        int | None,
        typer.Option(
            help="Audit may drop events that are older. Default: never.",
            envvar="TENANTRY_AUDIT_RETENTION_DAYS",
            min=1,
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Bring every service's schema up to date, by TENANTRY_<SERVICE>_MIGRATION_URL or --data.

    It also sets the retention of audit trails: the audit service itself has no right to.
    """
    import asyncio

    from contracts.topology import SERVICE_NAMES

    from tenantry.installation import find_installation
    from tenantry.operations.audit_retention import set_retention
    from tenantry.operations.migrations import pending, upgrade
    from tenantry.operations.restore_state import refuse_unfinished

    installation = find_installation(data)
    urls = {service: installation.migration_url(service) for service in SERVICE_NAMES}
    asyncio.run(refuse_unfinished(urls))
    step = pending if check else upgrade
    found = {
        service: step(service, url, after_rollout=after_rollout) for service, url in urls.items()
    }
    if check:
        _print_revisions(found, "pending", as_json=as_json)
        raise typer.Exit(1 if any(found.values()) else 0)
    asyncio.run(set_retention(urls["audit"], audit_retention_days))
    _print_revisions(found, "applied", as_json=as_json)
    if any(pending(service, url, after_rollout=True) for service, url in urls.items()):
        typer.echo(
            "When no process of the release before runs: tenantry migrate --after-rollout", err=True
        )


def _print_revisions(found: dict[str, list[str]], outcome: str, *, as_json: bool) -> None:
    from tenantry.cli import output

    if as_json:
        output.print_json({outcome: found})
        return
    for service, revisions in found.items():
        for revision in revisions:
            typer.echo(f"{service}: {revision} {outcome}")
    if not any(found.values()):
        typer.echo("Every schema is up to date.")


def bootstrap(
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running, and create again what vanishes.")
    ] = False,
    erase: Annotated[
        bool, typer.Option("--erase", help="Only erase the messages about people deleted so far.")
    ] = False,
    replicas: Annotated[
        int | None,
        typer.Option(
            help="On how many servers of a cluster events are kept: 3 survives the loss of one. "
            "Default: as it is.",
            envvar="TENANTRY_NATS_REPLICAS",
            min=1,
            max=5,
        ),
    ] = None,
    subscriber: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or NAME=FILTER: a durable consumer subscriber-NAME for a service of yours. "
            "Repeat it for more; several by blanks in the variable.",
            envvar="TENANTRY_SUBSCRIBERS",
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create the stream and its consumers, or update them, by TENANTRY_NATS_ADMIN_URL or --data.

    With --watch it looks every two seconds, and logs as JSON lines what it has created again.
    """
    import asyncio

    from contracts.topology import SERVICE_NAMES

    from tenantry.cli import output
    from tenantry.installation import find_installation
    from tenantry.operations import streams

    url = find_installation(data).nats_url()
    if erase:
        asyncio.run(streams.erase(url))
        return
    if watch:
        asyncio.run(streams.watch(url, replicas, subscriber or ()))
        return
    asyncio.run(streams.bootstrap(url, replicas, subscriber or ()))
    if as_json:
        output.print_json({"stream": "EVENTS", "consumers": list(SERVICE_NAMES)})
    else:
        typer.echo(f"The stream and its consumers are there: {', '.join(SERVICE_NAMES)}.")


def draft_migration(service: str, message: str) -> None:
    """Write a migration that brings a service's newest revision to the state of its tables."""
    import asyncio

    from contracts.topology import SERVICE_NAMES

    from tenantry.errors import Misconfigured
    from tenantry.operations.migrations import draft

    if service not in SERVICE_NAMES:
        raise Misconfigured(
            f"there is no service {service}", f"Take one of {', '.join(SERVICE_NAMES)}."
        )
    asyncio.run(draft(service, message))
