"""From one event to a delivery for each webhook that wants it: one statement for a whole batch.

Every event is stored once, for all its deliveries and for replays. A webhook that is being deleted
at this moment is either seen or waited for, so that nothing is queued for one that is gone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.statements import Statement
from outbox.inbox import ReceivedEvent
from sqlalchemy import (
    ARRAY,
    BindParameter,
    Text,
    bindparam,
    column,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import TypeEngine

from webhooks import waiting
from webhooks.fairness import FIRST
from webhooks.tables import DELIVERIES, ERASURES, EVENTS, WEBHOOKS, delivery_id, is_heard

_EVENT = ["tenant_id", "id", "created_at", "type", "actor_id", "payload"]
_TYPES: list[TypeEngine[Any]] = [ID, ID, TIME, ID, ID, Text()]


def _array(name: str, kind: Any) -> BindParameter[Any]:
    return bindparam(name, type_=ARRAY(kind))


_given = (
    func.unnest(*(_array(n, t) for n, t in zip(_EVENT, _TYPES, strict=True)))
    .table_valued(*(column(n, t) for n, t in zip(_EVENT, _TYPES, strict=True)))
    .render_derived()
)
_heard = (
    select(_given)
    .where(
        ~exists().where(ERASURES.c.tenant_id == _given.c.tenant_id),
        # Older ones have no partition any more, and nobody who waits for them.
        _given.c.created_at > func.now() - func.make_interval(0, 0, 0, 30),
    )
    .cte("heard")
)
_stored = insert(EVENTS).from_select(_EVENT, select(_heard)).on_conflict_do_nothing().cte("stored")
_wanted = (
    select(
        _heard.c.tenant_id,
        WEBHOOKS.c.id.label("webhook_id"),
        delivery_id(WEBHOOKS.c.id, _heard.c.id).label("id"),
        _heard.c.created_at,
        _heard.c.id.label("event_id"),
        _heard.c.type.label("event_type"),
        literal("pending", Text).label("status"),
        literal(0).label("attempt_count"),
        _heard.c.created_at.label("next_attempt_at"),
    )
    .select_from(_heard)
    .join(WEBHOOKS, WEBHOOKS.c.tenant_id == _heard.c.tenant_id)
    .where(WEBHOOKS.c.status == "active", is_heard(WEBHOOKS.c, _heard.c.type, _heard.c.actor_id))
    .with_for_update(of=WEBHOOKS, read=True, key_share=True)
    .cte("wanted")
)
_made = (
    insert(DELIVERIES)
    .from_select([each.name for each in _wanted.c], select(_wanted))
    .on_conflict_do_nothing()
    .returning(
        DELIVERIES.c.tenant_id,
        DELIVERIES.c.webhook_id,
        DELIVERIES.c.id,
        DELIVERIES.c.event_id,
        DELIVERIES.c.created_at,
        DELIVERIES.c.next_attempt_at.label("due_at"),
    )
    .cte("made")
)
# Across tenants: a batch of the stream has events of many, each joined to its own.
FAN_OUT = Statement(waiting.put(_made, FIRST).add_cte(_stored))


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
