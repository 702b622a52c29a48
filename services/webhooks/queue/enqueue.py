"""New deliveries, and the rows of the queue for new deliveries and for those that are sent again.

Parts of statements: the delivery and its row of the queue are written by one statement.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    SmallInteger,
    Text,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from webhooks.tables import DELIVERIES, IS_LEASED, QUEUE

QUEUE_COLUMNS = [
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


QUEUE_SOURCE = [
    DELIVERIES.c[name]
    for name in ("tenant_id", "webhook_id", "id", "event_id", "created_at", "next_attempt_at")
]
"""What `enqueue` needs to know of deliveries: for RETURNING."""


def delivery_id(webhook_id: ColumnElement[str], event_id: ColumnElement[str]) -> ColumnElement[str]:
    """A TypeID with the event's time, and a hash of both ids in place of random bits.

    Ten characters of the suffix are the time; `e` and `8` carry the version and the variant of a
    UUIDv7, and hexadecimal digits are digits of base32 too.
    """
    digest = func.encode(func.sha256(func.convert_to(webhook_id.concat(event_id), "UTF8")), "hex")
    return (
        literal("dlv_", Text)
        .concat(func.substr(event_id, 5, 10))
        .concat("e")
        .concat(func.substr(digest, 1, 2))
        .concat("8")
        .concat(func.substr(digest, 3, 12))
    )


def new_delivery(
    event: Any, webhook_id: ColumnElement[str], next_attempt_at: ColumnElement[Any]
) -> list[ColumnElement[Any]]:
    """The columns of a pending delivery of `event` (its columns), for `create_deliveries`."""
    return [
        event.tenant_id,
        webhook_id.label("webhook_id"),
        delivery_id(webhook_id, event.id).label("id"),
        event.created_at,
        event.id.label("event_id"),
        event.type.label("event_type"),
        literal("pending", Text).label("status"),
        literal(0).label("attempt_count"),
        next_attempt_at.label("next_attempt_at"),
    ]


def create_deliveries(deliveries: Select[Any]) -> Insert:
    """Inserts what a SELECT with the columns of `new_delivery` finds."""
    return insert(DELIVERIES).from_select(
        [column.name for column in deliveries.selected_columns], deliveries
    )


def enqueue(deliveries: CTE, kind: int) -> Insert:
    """Queues deliveries, ready at their `next_attempt_at`; `kind` is one of `rules.fairness`."""
    rows: Select[Any] = select(
        deliveries.c.tenant_id,
        deliveries.c.webhook_id,
        deliveries.c.id,
        deliveries.c.event_id,
        deliveries.c.created_at,
        literal(kind, SmallInteger),
        literal(0, SmallInteger),
        literal("ready", Text),
        deliveries.c.next_attempt_at,
    )
    return insert(QUEUE).from_select(QUEUE_COLUMNS, rows)


def enqueue_again(deliveries: CTE, kind: int) -> Insert:
    """Queues deliveries that may be in the queue already, with all attempts left.

    Leaves out those that are in flight.
    """
    rows = enqueue(deliveries, kind)
    return rows.on_conflict_do_update(
        index_elements=[QUEUE.c.tenant_id, QUEUE.c.webhook_id, QUEUE.c.delivery_id],
        set_={name: rows.excluded[name] for name in ("kind", "tries", "state", "due_at")}
        | {"wake_at": null()},
        where=~IS_LEASED,
    )
