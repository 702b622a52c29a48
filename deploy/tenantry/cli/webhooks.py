"""`tenantry webhooks listen`: a tenant's events, forwarded to a receiver that is being written."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenantry.cli.options import Data, Json, Profile, Url, group

if TYPE_CHECKING:
    from tenantry.operations.listen import Forwarded

app = group("Webhooks: what no request alone can do.")


@app.callback()
def _() -> None:
    """Keeps `listen` a command of its own while it is the only one."""


@app.command()
def listen(
    forward_to: Annotated[str, typer.Option(help="Such as http://localhost:3000/webhooks")],
    events: Annotated[
        list[str] | None, typer.Option(help="user.created, user.* or *; repeat it for more.")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(help="Begin after this sequence; 0 is all there is. Default: now.", min=0),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="A file that keeps the place: the next run goes on where this one ends."),
    ] = None,
    url: Url = None,
    data: Data = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Forward the tenant's events to a local address, signed as webhooks, until Ctrl-C.

    They come by the feed (scope: audit:read; others to show what has changed): no webhook is made
    and none is left behind. The secret is of this run. While nobody listens at the address, it
    waits; another answer than 2xx is shown, and the next event follows. `data` has what the feed
    has: the resource as it is now, or its id alone if it is gone, and what has changed.
    """
    import sys

    from tenantry.access import Target
    from tenantry.api_client import connect_as_tenant
    from tenantry.cli import output
    from tenantry.cli.root import INTERRUPTED
    from tenantry.installation import check_url
    from tenantry.operations.listen import Listener, new_secret, newest_sequence, read_place

    check_url(forward_to)
    secret, patterns = new_secret(), tuple(events or ("*",))
    place = after
    if resume is not None and place is None:
        place = read_place(resume)

    def report(forwarded: "Forwarded") -> None:
        nonlocal place
        if forwarded.error is None:
            place = forwarded.sequence
        _print(forwarded, as_json=as_json)

    with connect_as_tenant(Target(url, data, profile)) as tenant:
        if place is None:
            place = newest_sequence(tenant)
        if as_json:
            output.print_json({"secret": secret, "forward_to": forward_to, "after": place})
        else:
            output.print_line(f"Secret of this run: {secret}")
            output.print_line(f"Forwarding to {forward_to} what follows sequence {place}.", "green")
        sys.stdout.flush()
        try:
            Listener(tenant, forward_to, secret, patterns, resume).run(place, report)
        except KeyboardInterrupt:
            output.print_note(f"To go on from here: --after {place}")
            raise typer.Exit(INTERRUPTED) from None


def _print(forwarded: "Forwarded", *, as_json: bool) -> None:
    import sys
    from dataclasses import asdict
    from datetime import datetime

    from tenantry.cli import output

    if as_json:
        output.print_json(asdict(forwarded))
    else:
        answer = forwarded.status if forwarded.error is None else forwarded.error
        is_good = forwarded.status is not None and forwarded.status < 300
        output.print_line(
            f"{datetime.now().astimezone():%H:%M:%S} {forwarded.event_type} {forwarded.event_id} "
            f"{answer} {forwarded.duration_ms} ms",
            "" if is_good else "yellow",
        )
    sys.stdout.flush()
