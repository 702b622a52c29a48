"""The events that identity consumes: a project was deleted, a tenant is to be erased."""

from collections.abc import Sequence

from chassis.database import Connection
from contracts.events import event_subject, lifecycle_subject
from outbox.inbox import ReceivedEvent
from outbox.record import record

from identity import tenant_erasure
from identity.sessions import sessions

PROJECT_DELETED = event_subject("projects", "project.deleted")
DELETION_REQUESTED = lifecycle_subject("projects", "tenant.deletion_requested")


async def handle_events(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Handles a batch. Both kinds are rare, so one at a time."""
    for received in events:
        if received.subject == PROJECT_DELETED:
            project_id = received.event["subject"]
            entries = await sessions.revoke_all_of_project(
                conn, received.context(), received.tenant_id, project_id
            )
            await record(conn, entries)
        elif received.subject == DELETION_REQUESTED:
            await tenant_erasure.begin(conn, received)
