"""From one event to a delivery for each webhook that wants it: one statement for a whole batch.

Every event is stored once, for all its deliveries and for replays. The statement sees a webhook
that is being deleted or waits for it, so that nothing is queued for one that is gone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.statements import Statement
from outbox.inbox import ReceivedEvent
from sqlalchemy import ARRAY, Text, bindparam, column, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import TypeEngine

from webhooks.queue.enqueue import create_deliveries, enqueue, new_delivery
from webhooks.queue.event_filter import wants
from webhooks.rules.fairness import FIRST
from webhooks.tables import DELIVERIES, ERASURES, EVENTS, WEBHOOKS

_COLUMNS: dict[str, TypeEngine[Any]] = {
    "tenant_id": ID,
    "id": ID,
    "created_at": TIME,
    "type": ID,
    "actor_id": ID,
    "payload": Text(),
}

_rows = (
    func.unnest(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _COLUMNS.items()))
    .table_valued(*(column(name, kind) for name, kind in _COLUMNS.items()))
    .render_derived()
)
_event = (
    select(_rows)
    .where(
        ~exists().where(ERASURES.c.tenant_id == _rows.c.tenant_id),
        # Older events have no partition any more, and nobody waits for them.
        _rows.c.created_at > func.now() - func.make_interval(0, 0, 0, 30),
    )
    .cte("event")
)
_stored = (
    insert(EVENTS)
    .from_select(list(_COLUMNS), select(_event))
    .on_conflict_do_nothing()
    .cte("stored")
)
_wanted = (
    select(*new_delivery(_event.c, WEBHOOKS.c.id, _event.c.created_at))
    .select_from(_event)
    .join(WEBHOOKS, WEBHOOKS.c.tenant_id == _event.c.tenant_id)
    .where(WEBHOOKS.c.status == "active", wants(WEBHOOKS.c, _event.c.type, _event.c.actor_id))
    .with_for_update(of=WEBHOOKS, read=True, key_share=True)
    .cte("wanted")
)
_delivery = (
    create_deliveries(select(_wanted))
    .on_conflict_do_nothing()
    .returning(
        DELIVERIES.c.tenant_id,
        DELIVERIES.c.webhook_id,
        DELIVERIES.c.id,
        DELIVERIES.c.event_id,
        DELIVERIES.c.created_at,
        DELIVERIES.c.next_attempt_at,
    )
    .cte("delivery")
)
# Across tenants: a batch has events of many, each joined to the webhooks of its own tenant.
FAN_OUT = Statement(enqueue(_delivery, FIRST).add_cte(_stored))


async def fan_out(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Stores the events and queues a delivery for each webhook that wants one."""
    await FAN_OUT.execute(
        conn,
        tenant_id=[each.tenant_id for each in events],
        id=[each.id for each in events],
        created_at=[datetime.fromisoformat(each.event["time"]) for each in events],
        type=[each.type for each in events],
        actor_id=[each.event["actorid"] for each in events],
        payload=[each.payload.decode() for each in events],
    )
