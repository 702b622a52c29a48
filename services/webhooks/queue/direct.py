"""New deliveries that are leased as they are queued, so that they go out without being claimed.

Only where nothing else of their webhook is ready, which keeps the order, and only as many as may be
in flight of it. A claim begins with what is ready: so the two hardly ever meet at a webhook.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    Select,
    SmallInteger,
    Text,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from webhooks.queue.enqueue import QUEUE_COLUMNS
from webhooks.queue.leased import lease_end
from webhooks.rules.fairness import FIRST
from webhooks.rules.window import WEBHOOK_LIMIT
from webhooks.tables import IS_LEASED, IS_READY, QUEUE, WEBHOOKS


def enqueue_leasing(deliveries: CTE, events: CTE) -> Insert:
    """Queues new deliveries; those that may start are leased, by the parameter `lease`.

    `events` says how many of its tenant may start: `free`. Webhooks that fail wait for the circuit
    breaker, at which a claim looks.
    """
    webhook = select(deliveries.c.tenant_id, deliveries.c.webhook_id).distinct().cte("webhook")
    mine = (QUEUE.c.tenant_id == webhook.c.tenant_id) & (QUEUE.c.webhook_id == webhook.c.webhook_id)
    in_flight: Select[Any] = (
        select(literal_column("1"))
        .select_from(QUEUE)
        .where(IS_LEASED, mine)
        .correlate(webhook)
        .limit(literal_column(str(WEBHOOK_LIMIT)))
    )
    count = select(func.count()).select_from(in_flight.subquery()).scalar_subquery()
    may_start = case(
        (exists().where(IS_READY, mine), literal(0)), else_=literal(WEBHOOK_LIMIT) - count
    )
    free = (
        select(webhook.c.tenant_id, webhook.c.webhook_id, may_start.label("of_webhook"))
        .join(
            WEBHOOKS,
            (WEBHOOKS.c.tenant_id == webhook.c.tenant_id)
            & (WEBHOOKS.c.id == webhook.c.webhook_id)
            & WEBHOOKS.c.failing_since.is_(None),
        )
        .cte("free")
    )
    order = deliveries.c.event_id
    numbered = select(
        *deliveries.c,
        func.row_number()
        .over(partition_by=[deliveries.c.tenant_id, deliveries.c.webhook_id], order_by=order)
        .label("of_webhook"),
        func.row_number()
        .over(partition_by=deliveries.c.tenant_id, order_by=order)
        .label("of_tenant"),
    ).cte("numbered")
    starts = (numbered.c.of_webhook <= free.c.of_webhook) & (numbered.c.of_tenant <= events.c.free)
    rows: Select[Any] = (
        select(
            numbered.c.tenant_id,
            numbered.c.webhook_id,
            numbered.c.id,
            numbered.c.event_id,
            numbered.c.created_at,
            literal(FIRST, SmallInteger),
            literal(0, SmallInteger),
            case((starts, literal("leased", Text)), else_=literal("ready", Text)),
            numbered.c.next_attempt_at,
            case((starts, lease_end())),
            case((starts, bindparam("lease", type_=Text))),
        )
        .select_from(numbered)
        .join(
            events,
            (events.c.tenant_id == numbered.c.tenant_id) & (events.c.id == numbered.c.event_id),
        )
        .outerjoin(
            free,
            (free.c.tenant_id == numbered.c.tenant_id)
            & (free.c.webhook_id == numbered.c.webhook_id),
        )
    )
    return insert(QUEUE).from_select([*QUEUE_COLUMNS, "wake_at", "lease"], rows)
