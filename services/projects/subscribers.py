"""Handles the events of other services: one has erased its part of a tenant that is being deleted.

The tenant's row is locked, so that confirmations at the same time are counted one after another.
"""

from collections.abc import Sequence
from typing import Any

from chassis.database import Connection
from chassis.statements import Statement
from contracts.lifecycle import TenantErased
from contracts.topology import ERASING_SERVICES
from faststream.nats import NatsRouter
from outbox.consumer import Consumer
from outbox.inbox import ReceivedEvent
from sqlalchemy import Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from projects.tables import ERASURES, TENANTS
from projects.tenant_erasure import erase_tenant

LOCK_TENANT = Statement(
    select(TENANTS.c.id)
    .where(TENANTS.c.id == bindparam("id"), TENANTS.c.status == "deleting")
    .with_for_update()
)
CREATE_ERASURE = Statement(
    insert(ERASURES)
    .values(
        tenant_id=bindparam("tenant_id"),
        service=bindparam("service", type_=Text),
        confirmed_at=func.now(),
    )
    .on_conflict_do_nothing()
)
COUNT_ERASURES = Statement(
    select(func.count()).select_from(ERASURES).where(ERASURES.c.tenant_id == bindparam("tenant_id"))
)


async def handle_events(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Stores each confirmation; with the last one deletes the tenant and all that it has here."""
    for event in events:
        if event.type == TenantErased.type:
            await _confirm(conn, event)


async def _confirm(conn: Connection, event: ReceivedEvent) -> None:
    tenant_id, service = event.tenant_id, event.event["source"].rsplit("/", 1)[-1]
    if await LOCK_TENANT.fetch_value(conn, id=tenant_id) is None or service not in ERASING_SERVICES:
        return
    await CREATE_ERASURE.execute(conn, tenant_id=tenant_id, service=service)
    if await COUNT_ERASURES.fetch_value(conn, tenant_id=tenant_id) < len(ERASING_SERVICES):
        return
    await erase_tenant(conn, event.context())


router = NatsRouter()
consumer = Consumer("projects", handle_events)


@router.subscriber(**consumer.options)
async def receive(batch: list[Any]) -> None:
    """Receives a batch of messages from the durable consumer `projects`."""
    await consumer.receive(batch)
