"""Sending again: one delivery by hand, or every event of a period that did not succeed.

The row of the queue is locked before that of the delivery, as the dispatcher does.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import transactional
from contracts.problems import Problem, invalid, not_found
from contracts.webhooks import Replay
from sqlalchemy import ARRAY, bindparam, exists, func, null, select, update
from sqlalchemy.dialects.postgresql import insert

from webhooks.queue.deliveries import GET, IS_ONE, with_attempts
from webhooks.queue.enqueue import delivery_id, enqueue_again, new_delivery
from webhooks.queue.event_filter import matches, wants
from webhooks.rules.fairness import MANUAL, RETRY
from webhooks.tables import DELIVERIES, EVENTS, IS_LEASED, QUEUE, WEBHOOKS

KEPT = timedelta(days=30)

LOCK_WEBHOOK_STATUS = Statement(
    select(WEBHOOKS.c.status)
    .where(
        WEBHOOKS.c.tenant_id == bindparam("tenant_id"),
        WEBHOOKS.c.id == bindparam("webhook_id"),
    )
    .with_for_update(read=True, key_share=True)
)
"""So that the webhook is not deleted meanwhile."""

_delivery = (
    select(
        DELIVERIES.c.tenant_id,
        DELIVERIES.c.webhook_id,
        DELIVERIES.c.id,
        DELIVERIES.c.event_id,
        DELIVERIES.c.created_at,
        bindparam("now", type_=TIME).label("next_attempt_at"),
    )
    .where(*IS_ONE)
    .cte("delivery")
)
ENQUEUE_ONE = Statement(enqueue_again(_delivery, MANUAL))
SET_PENDING = Statement(
    update(DELIVERIES)
    .where(
        *IS_ONE,
        ~exists().where(
            QUEUE.c.tenant_id == bindparam("tenant_id"),
            QUEUE.c.webhook_id == bindparam("webhook_id"),
            QUEUE.c.delivery_id == bindparam("id"),
            IS_LEASED,
        ),
    )
    .values(status="pending", next_attempt_at=bindparam("now", type_=TIME), completed_at=null())
)

_missed = (
    select(*new_delivery(EVENTS.c, WEBHOOKS.c.id, bindparam("now", type_=TIME)))
    .select_from(EVENTS)
    .join(WEBHOOKS, WEBHOOKS.c.tenant_id == EVENTS.c.tenant_id)
    .where(
        EVENTS.c.tenant_id == bindparam("tenant_id"),
        WEBHOOKS.c.id == bindparam("webhook_id"),
        EVENTS.c.created_at >= bindparam("since", type_=TIME),
        EVENTS.c.created_at <= bindparam("until", type_=TIME),
        EVENTS.c.only_webhook_id.is_(None),
        wants(WEBHOOKS.c, EVENTS.c.type, EVENTS.c.actor_id),
        matches(bindparam("patterns", type_=ARRAY(ID)), EVENTS.c.type),
        ~exists().where(
            DELIVERIES.c.tenant_id == EVENTS.c.tenant_id,
            DELIVERIES.c.webhook_id == WEBHOOKS.c.id,
            DELIVERIES.c.id == delivery_id(WEBHOOKS.c.id, EVENTS.c.id),
            DELIVERIES.c.created_at == EVENTS.c.created_at,
            DELIVERIES.c.status == "succeeded",
        ),
    )
    .cte("missed")
)
_queued = (
    enqueue_again(_missed, RETRY)
    .returning(QUEUE.c.tenant_id, QUEUE.c.webhook_id, QUEUE.c.delivery_id)
    .cte("queued")
)
_pending = (
    insert(DELIVERIES)
    .from_select(
        [column.name for column in _missed.c],
        select(_missed).join(_queued, _queued.c.delivery_id == _missed.c.id),
    )
    .on_conflict_do_update(
        index_elements=list(DELIVERIES.primary_key.columns),
        set_={
            "status": "pending",
            "next_attempt_at": bindparam("now", type_=TIME),
            "completed_at": null(),
        },
    )
    .returning(DELIVERIES.c.tenant_id)
    .cte("pending")
)
REPLAY = Statement(select(func.count()).select_from(_pending))


async def lock_active_webhook(conn: Connection, request: Request[Any, Any]) -> dict[str, str]:
    """Keeps the webhook from being deleted until the transaction ends, and returns its key.

    Raises Problem (404, 409).
    """
    key = {"tenant_id": request.tenant, "webhook_id": request.path["id"]}
    status = await LOCK_WEBHOOK_STATUS.fetch_value(conn, **key)
    if status is None:
        raise not_found()
    if status == "disabled":
        raise Problem("webhook_disabled", "The webhook is disabled. Enable it, then send again.")
    return key


@transactional()
async def retry_delivery(conn: Connection, request: Request) -> Reply:
    """Due now, whatever its status. One that is in flight stays as it is."""
    key = await lock_active_webhook(conn, request) | {"id": request.path["delivery_id"]}
    now = datetime.now(UTC)
    await ENQUEUE_ONE.execute(conn, **key, now=now)
    await SET_PENDING.execute(conn, **key, now=now)
    row = await GET.fetch_one(conn, **key)
    if row is None:
        raise not_found()
    (delivery,) = await with_attempts(conn, [row])
    return reply_to(request, delivery)


@transactional()
async def replay(conn: Connection, request: Request[Replay]) -> Reply:
    """Also sends events without a delivery: the webhook was disabled, or is younger than they."""
    now = datetime.now(UTC)
    since, until = request.body.since, request.body.until or now
    if since > now:
        raise invalid("since", "must not lie in the future")
    if until < since:
        raise invalid("until", "must not be before since")
    key = await lock_active_webhook(conn, request)
    queued = await REPLAY.fetch_value(
        conn,
        **key,
        since=max(since, now - KEPT),
        until=until,
        patterns=request.body.events or ["*"],
        now=now,
    )
    return reply_to(request, {"queued": queued})
