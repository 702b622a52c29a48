"""`tenantry events`: what was recorded or given up, published again; on the services' databases."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tenantry.cli.commands import Data, Json, confirm, group

app = group("Events: published again, and those that a service gave up on.")
dead_letters = group("Events that a service gave up on after its last try.")
app.add_typer(dead_letters, name="dead-letters")

_COLUMNS = ("service", "event_id", "subject", "error", "tries", "failed_at")
KEPT_HOURS = 24


class ServiceName(StrEnum):
    IDENTITY = "identity"
    PROJECTS = "projects"
    WEBHOOKS = "webhooks"
    AUDIT = "audit"


Service = Annotated[list[ServiceName] | None, typer.Option(help="Only that one; again for more.")]


@app.command()
def republish(
    since: Annotated[str, typer.Option(help="A time, or a span: 2h is two hours ago.")],
    service: Service = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Publish again, in order, what was recorded since a time: after the stream has lost events.

    Whoever has heard an event already takes no notice of it. Published events are kept for a day.
    """
    import asyncio
    from datetime import UTC, datetime, timedelta

    from tenantry.cli import showing
    from tenantry.databases import of_each
    from tenantry.installation import backing
    from tenantry.moments import ago

    moment = ago(since)

    async def work(conn: Any) -> int:
        from outbox.republish import republish

        return await republish(conn, moment)

    done = asyncio.run(of_each(backing(data), _services(service), work))
    if as_json:
        showing.as_json({"since": moment.isoformat(), "events": done})
        return
    showing.table(
        [{"service": name, "events": n} for name, n in done.items()], ("service", "events")
    )
    showing.say(f"{sum(done.values()):,} events will be published again.", "green")
    if datetime.now(UTC) - moment > timedelta(hours=KEPT_HOURS):
        showing.say("What was published more than a day ago is no longer kept.", "yellow")


@dead_letters.command("list")
def list_(service: Service = None, data: Data = None, as_json: Json = False) -> None:
    """List them; the exit code is 1 if there are any."""
    import asyncio

    from tenantry.cli import showing

    rows = asyncio.run(_dead(data, _services(service)))
    if as_json:
        showing.as_json({"dead_letters": rows})
    elif rows:
        showing.table(rows, _COLUMNS)
        showing.say("`tenantry events dead-letters requeue` has them taken in again.")
    else:
        showing.say("There are none.", "green")
    raise typer.Exit(1 if rows else 0)


@dead_letters.command()
def requeue(
    event_ids: Annotated[list[str] | None, typer.Argument(help="evt_…; none means all.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before all.")] = False,
    service: Service = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Have their services try them again within seconds, once their cause is mended.

    What fails again stays. The exit code is 1 if an id is not there.
    """
    import asyncio

    from tenantry.cli import showing
    from tenantry.databases import of_each
    from tenantry.installation import backing

    place = backing(data)
    if not event_ids:
        confirm("Requeue all dead letters?", yes=yes)

    async def work(conn: Any) -> int:
        from outbox.dead_letters import requeue

        return await requeue(conn, event_ids or None)

    done = asyncio.run(of_each(place, _services(service), work))
    if as_json:
        showing.as_json({"requeued": done})
    else:
        showing.say(f"{sum(done.values()):,} will be tried again within seconds.", "green")
    if event_ids and sum(done.values()) < len(set(event_ids)):
        from tenantry.failing import Failed

        raise Failed(
            "not every one of these was a dead letter",
            "`tenantry events dead-letters list` shows them.",
            code="not_found",
        )


async def _dead(data: Path | None, services: list[str]) -> list[dict[str, Any]]:
    from outbox.dead_letters import list_all

    from tenantry.databases import of_each
    from tenantry.installation import backing

    found = await of_each(backing(data), services, list_all)
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


def _services(chosen: list[ServiceName] | None) -> list[str]:
    return [service.value for service in dict.fromkeys(chosen or ServiceName)]
