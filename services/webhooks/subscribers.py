"""What webhooks does with events: sends them to the tenant's webhooks, and erases tenants."""

from collections.abc import Sequence

from chassis.database import Connection
from contracts.lifecycle import TenantDeletionRequested
from contracts.topology import EVENTS_PREFIX
from faststream.nats import NatsRouter
from outbox.consumer import CurrentConsumer, EventBatch, durable
from outbox.inbox import ReceivedEvent

from webhooks.fanout import fan_out
from webhooks.tenant_erasure import request_erasure

DELETION_REQUESTED = TenantDeletionRequested.subject("projects")


router = NatsRouter()


@router.subscriber(**durable("webhooks"))
async def receive(batch: EventBatch, consumer: CurrentConsumer) -> None:
    """Processes a batch: `handle_events` gets those of its events that are new."""
    await consumer.receive(batch)


async def handle_events(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Handles a batch in one transaction; one statement, whatever its size, without erasures."""
    for each in events:
        if each.subject == DELETION_REQUESTED:
            await request_erasure(conn, each)
    of_tenants = [each for each in events if each.subject.startswith(f"{EVENTS_PREFIX}.")]
    if of_tenants:
        await fan_out(conn, of_tenants)
