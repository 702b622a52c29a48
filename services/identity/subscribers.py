"""What identity does with events: revokes the sessions of deleted projects, and erases tenants."""

from collections.abc import Sequence
from typing import Any

from chassis.database import Connection
from contracts.lifecycle import TenantDeletionRequested
from contracts.projects import ProjectDeleted
from faststream.nats import NatsRouter
from outbox.consumer import Consumer
from outbox.inbox import ReceivedEvent
from outbox.record import record

from identity import tenant_erasure
from identity.sessions import sessions

PROJECT_DELETED = ProjectDeleted.subject()
DELETION_REQUESTED = TenantDeletionRequested.subject("projects")


async def handle_events(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Handles a batch in one transaction. Both kinds are rare, so one event at a time."""
    for each in events:
        if each.subject == PROJECT_DELETED:
            project_id = each.event["subject"]
            revoked = await sessions.revoke_all_of_project(conn, each.context(), project_id)
            await record(conn, revoked)
        elif each.subject == DELETION_REQUESTED:
            await tenant_erasure.TENANT_ERASURE.request(conn, each)


router = NatsRouter()
consumer = Consumer("identity", handle_events)


@router.subscriber(**consumer.options)
async def receive(batch: list[Any]) -> None:
    """Receives a batch of messages from the durable consumer `identity`."""
    await consumer.receive(batch)
