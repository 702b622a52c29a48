"""What webhooks does with events: delivers them, and erases tenants and people."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from chassis.database import Connection
from contracts.lifecycle import TenantDeletionRequested
from contracts.topology import EVENTS_PREFIX
from contracts.users import UserDeleted
from faststream.nats import NatsRouter
from outbox.consumer import Consumer
from outbox.inbox import ReceivedEvent

from webhooks.fanout import fan_out
from webhooks.person_erasure import request_person_erasure
from webhooks.tenant_erasure import request_erasure
from webhooks.worker.direct_delivery import DirectDelivery

USER_DELETED = UserDeleted.subject()
DELETION_REQUESTED = TenantDeletionRequested.subject("projects")


direct = DirectDelivery()


async def handle_events(
    conn: Connection, events: Sequence[ReceivedEvent]
) -> Callable[[], None] | None:
    """Handles a batch in one transaction; one statement, whatever its size, without erasures.

    Returns what sends the deliveries that this process may send at once.
    """
    for each in events:
        if each.subject == DELETION_REQUESTED:
            await request_erasure(conn, each)
    of_tenants = [each for each in events if each.subject.startswith(f"{EVENTS_PREFIX}.")]
    leased = []
    if of_tenants:
        free = direct.free({each.tenant_id for each in of_tenants})
        leased = await fan_out(conn, of_tenants, free)
    for each in of_tenants:
        if each.subject == USER_DELETED:
            await request_person_erasure(conn, each)
    return partial(direct.start, leased) if leased else None


router = NatsRouter()
consumer = Consumer("webhooks", handle_events)


@router.subscriber(**consumer.options)
async def receive(batch: list[Any]) -> None:
    """Receives a batch of messages from the durable consumer `webhooks`."""
    await consumer.receive(batch)
