"""What webhooks hear: events of a tenant, for its webhooks; and that a tenant is to be erased."""

from collections.abc import Sequence

from chassis.database import Connection
from contracts.events import lifecycle_subject
from contracts.topology import EVENTS_PREFIX
from outbox.inbox import ReceivedEvent

from webhooks import erasing
from webhooks.fanout import fan_out

DELETION_REQUESTED = lifecycle_subject("projects", "tenant.deletion_requested")


async def take(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """The effect of a batch, in one transaction; one statement, whatever its size, if none goes."""
    for each in events:
        if each.subject == DELETION_REQUESTED:
            await erasing.begin(conn, each)
    heard = [each for each in events if each.subject.startswith(f"{EVENTS_PREFIX}.")]
    if heard:
        await fan_out(conn, heard)
