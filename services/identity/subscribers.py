"""What identity does with events: revokes the sessions of deleted projects, and erases tenants."""

from collections.abc import Sequence

from chassis.database import Connection
from contracts.lifecycle import TenantDeletionRequested
from contracts.projects import ProjectDeleted
from faststream.nats import NatsRouter
from outbox.consumer import CurrentConsumer, EventBatch, durable
from outbox.inbox import ReceivedEvent
from outbox.record import record

from identity import tenant_erasure
from identity.sessions import sessions

PROJECT_DELETED = ProjectDeleted.subject()
DELETION_REQUESTED = TenantDeletionRequested.subject("projects")


router = NatsRouter()


@router.subscriber(**durable("identity"))
async def receive(batch: EventBatch, consumer: CurrentConsumer) -> None:
    """Processes a batch: `handle_events` gets those of its events that are new."""
    await consumer.receive(batch)


async def handle_events(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Handles a batch in one transaction. Both kinds are rare, so one event at a time."""
    for each in events:
        if each.subject == PROJECT_DELETED:
            project_id = each.event["subject"]
            revoked = await sessions.revoke_all_of_project(conn, each.context(), project_id)
            await record(conn, revoked)
        elif each.subject == DELETION_REQUESTED:
            await tenant_erasure.TENANT_ERASURE.request(conn, each)
