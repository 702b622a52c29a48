"""The queue as requests and events use it: put in, asked for again, held back, let go on, dropped.

A row that is leased belongs to its dispatcher until it answers or its time is over.
"""

from typing import Any

from chassis.statements import Statement
from sqlalchemy import (
    CTE,
    Select,
    SmallInteger,
    Text,
    bindparam,
    delete,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from webhooks.tables import DELIVERIES, QUEUE

_OF_WEBHOOK = (
    QUEUE.c.tenant_id == bindparam("tenant_id"),
    QUEUE.c.webhook_id == bindparam("id"),
)
READY = QUEUE.c.state == literal_column("'ready'")
LEASED = QUEUE.c.state == literal_column("'leased'")
WAITING = QUEUE.c.state == literal_column("'waiting'")
WAKES = text("state IN ('waiting', 'leased')")
"""Written out, so that every plan can use the index that serves the state."""

_ROW = [
    "tenant_id",
    "webhook_id",
    "delivery_id",
    "event_id",
    "created_at",
    "kind",
    "tries",
    "state",
    "due_at",
]

COUNT = Statement(select(func.count()).select_from(QUEUE).where(*_OF_WEBHOOK))
PARK = Statement(
    update(QUEUE).where(*_OF_WEBHOOK, or_(READY, WAITING)).values(state="parked", wake_at=null())
)
RESUME = Statement(
    update(QUEUE)
    .where(*_OF_WEBHOOK, QUEUE.c.state == "parked")
    .values(state="waiting", wake_at=QUEUE.c.due_at)
)
_dropped = (
    delete(QUEUE)
    .where(*_OF_WEBHOOK)
    .returning(QUEUE.c.delivery_id, QUEUE.c.created_at)
    .cte("dropped")
)
DROP = Statement(
    delete(DELIVERIES).where(
        DELIVERIES.c.tenant_id == bindparam("tenant_id"),
        DELIVERIES.c.webhook_id == bindparam("id"),
        DELIVERIES.c.id == _dropped.c.delivery_id,
        DELIVERIES.c.created_at == _dropped.c.created_at,
    )
)
"""With the pending deliveries themselves."""


def put(deliveries: CTE, kind: int) -> Insert:
    """Queues what `deliveries` (tenant_id, webhook_id, id, event_id, created_at, due_at) has."""
    given: Select[Any] = select(
        deliveries.c.tenant_id,
        deliveries.c.webhook_id,
        deliveries.c.id,
        deliveries.c.event_id,
        deliveries.c.created_at,
        literal(kind, SmallInteger),
        literal(0, SmallInteger),
        literal("ready", Text),
        deliveries.c.due_at,
    )
    return insert(QUEUE).from_select(_ROW, given)


def put_again(deliveries: CTE, kind: int) -> Insert:
    """The same for deliveries that may be queued already: due now, with all tries before them.

    Leaves out those that are being sent at this moment.
    """
    fresh = put(deliveries, kind)
    return fresh.on_conflict_do_update(
        index_elements=[QUEUE.c.tenant_id, QUEUE.c.webhook_id, QUEUE.c.delivery_id],
        set_={name: fresh.excluded[name] for name in ("kind", "tries", "state", "due_at")}
        | {"wake_at": null()},
        where=~LEASED,
    )
