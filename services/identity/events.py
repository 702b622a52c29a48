"""What identity hears: a project that is gone, and a tenant that is to be erased."""

from collections.abc import Sequence

from chassis.database import Connection
from contracts.events import event_subject, lifecycle_subject
from outbox.inbox import ReceivedEvent
from outbox.record import record

from identity import erasure, sessions

PROJECT_DELETED = event_subject("projects", "project.deleted")
DELETION_REQUESTED = lifecycle_subject("projects", "tenant.deletion_requested")


async def take(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """The effect of a batch; both are rare, so one at a time."""
    for heard in events:
        if heard.subject == PROJECT_DELETED:
            project_id = heard.event["subject"]
            ended = await sessions.revoked_of_project(
                conn, heard.context(), heard.tenant_id, project_id
            )
            await record(conn, ended)
        elif heard.subject == DELETION_REQUESTED:
            await erasure.begin(conn, heard)
