"""`tenantry events`: events that are published or processed again; on the services' databases."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tenantry.cli.options import Data, Json, confirm, group

app = group("Events: publish them again, and retry those that a service gave up on.")
dead_letters = group("Events that a service gave up on after its last try.")
app.add_typer(dead_letters, name="dead-letters")

_COLUMNS = ("service", "event_id", "subject", "error", "tries", "failed_at")
KEPT_HOURS = 24


class ServiceName(StrEnum):
    IDENTITY = "identity"
    PROJECTS = "projects"
    WEBHOOKS = "webhooks"
    AUDIT = "audit"


Services = Annotated[
    list[ServiceName] | None, typer.Option(help="Only this one; repeat it for more.")
]


@app.command()
def republish(
    since: Annotated[str, typer.Option(help="A time, or a span: 2h is two hours ago.")],
    service: Services = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Publish again, in order, the events since a time: after the stream has lost some.

    A consumer that has processed an event already ignores it. Published events are kept for a day.
    After a restore of databases, run it before their processes start.
    """
    import asyncio
    from datetime import UTC, datetime, timedelta

    from tenantry.cli import output
    from tenantry.cli.times import parse_past
    from tenantry.installation import find_installation
    from tenantry.operations.databases import run_in_each

    start = parse_past(since)

    async def work(conn: Any) -> int:
        from outbox import inbox
        from outbox.republish import republish

        await inbox.keep(conn, start - timedelta(days=1))
        return await republish(conn, start)

    counts = asyncio.run(run_in_each(find_installation(data), _names(service), work))
    if as_json:
        output.print_json({"since": start.isoformat(), "events": counts})
        return
    rows = [{"service": name, "events": count} for name, count in counts.items()]
    output.print_table(rows, ("service", "events"))
    output.print_line(f"{sum(counts.values()):,} events will be published again.", "green")
    if datetime.now(UTC) - start > timedelta(hours=KEPT_HOURS):
        output.print_line("What was published more than a day ago is no longer kept.", "yellow")


@dead_letters.command("list")
def list_(service: Services = None, data: Data = None, as_json: Json = False) -> None:
    """List them; the exit code is 1 if there are any."""
    import asyncio

    from tenantry.cli import output

    rows = asyncio.run(_list_dead_letters(data, _names(service)))
    if as_json:
        output.print_json({"dead_letters": rows})
    elif rows:
        output.print_table(rows, _COLUMNS)
        output.print_line("`tenantry events dead-letters requeue` retries them.")
    else:
        output.print_line("There are none.", "green")
    raise typer.Exit(1 if rows else 0)


@dead_letters.command()
def requeue(
    event_ids: Annotated[list[str] | None, typer.Argument(help="evt_…; none means all.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before all.")] = False,
    service: Services = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Retry them within seconds, after their cause was fixed.

    Those that fail again stay. The exit code is 1 if one of the ids does not exist.
    """
    import asyncio

    from tenantry.cli import output
    from tenantry.errors import CommandFailed
    from tenantry.installation import find_installation
    from tenantry.operations.databases import run_in_each

    installation = find_installation(data)
    if not event_ids:
        confirm("Requeue all dead letters?", yes=yes)

    async def work(conn: Any) -> int:
        from outbox.dead_letters import requeue

        return await requeue(conn, event_ids or None)

    counts = asyncio.run(run_in_each(installation, _names(service), work))
    if as_json:
        output.print_json({"requeued": counts})
    else:
        output.print_line(f"{sum(counts.values()):,} will be tried again within seconds.", "green")
    if event_ids and sum(counts.values()) < len(set(event_ids)):
        raise CommandFailed(
            "not every one of these was a dead letter",
            "`tenantry events dead-letters list` shows them.",
            code="not_found",
        )


async def _list_dead_letters(data: Path | None, services: list[str]) -> list[dict[str, Any]]:
    from outbox.dead_letters import list_all

    from tenantry.installation import find_installation
    from tenantry.operations.databases import run_in_each

    found = await run_in_each(find_installation(data), services, list_all)
    return [
        {
            "service": service,
            "event_id": row["event_id"],
            "subject": row["subject"],
            "error": row["error"],
            "tries": row["tries"],
            "failed_at": row["failed_at"].isoformat(),
        }
        for service, rows in found.items()
        for row in rows
    ]


def _names(services: list[ServiceName] | None) -> list[str]:
    return [service.value for service in dict.fromkeys(services or ServiceName)]
