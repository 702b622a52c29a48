"""Sending again: one delivery by hand, or every event of a time that did not succeed.

The row of the queue is taken before that of the delivery, as the dispatcher does.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from asyncpg import Record
from chassis.database import ID, TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.problems import Problem, invalid, not_found
from contracts.webhooks import Replay
from sqlalchemy import ARRAY, Text, bindparam, exists, func, literal, null, select, update
from sqlalchemy.dialects.postgresql import insert

from webhooks import deliveries, waiting
from webhooks.fairness import AGAIN, BY_HAND
from webhooks.tables import (
    DELIVERIES,
    EVENTS,
    QUEUE,
    WEBHOOKS,
    covers,
    delivery_id,
    is_heard,
)

KEPT = timedelta(days=30)

HOLD = Statement(
    select(WEBHOOKS.c.status)
    .where(
        WEBHOOKS.c.tenant_id == bindparam("tenant_id"),
        WEBHOOKS.c.id == bindparam("webhook_id"),
    )
    .with_for_update(read=True, key_share=True)
)
"""So that the webhook is not deleted meanwhile."""

_one = (
    select(
        DELIVERIES.c.tenant_id,
        DELIVERIES.c.webhook_id,
        DELIVERIES.c.id,
        DELIVERIES.c.event_id,
        DELIVERIES.c.created_at,
        bindparam("now", type_=TIME).label("due_at"),
    )
    .where(*deliveries.ONE)
    .cte("one")
)
QUEUE_ONE = Statement(waiting.put_again(_one, BY_HAND))
AWAIT_ONE = Statement(
    update(DELIVERIES)
    .where(
        *deliveries.ONE,
        ~exists().where(
            QUEUE.c.tenant_id == bindparam("tenant_id"),
            QUEUE.c.webhook_id == bindparam("webhook_id"),
            QUEUE.c.delivery_id == bindparam("id"),
            waiting.LEASED,
        ),
    )
    .values(status="pending", next_attempt_at=bindparam("now", type_=TIME), completed_at=null())
)
FIND = Statement(select(*deliveries.COLUMNS).where(*deliveries.ONE))

_their_id = delivery_id(WEBHOOKS.c.id, EVENTS.c.id)
_missed = (
    select(
        EVENTS.c.tenant_id,
        WEBHOOKS.c.id.label("webhook_id"),
        _their_id.label("id"),
        EVENTS.c.id.label("event_id"),
        EVENTS.c.created_at,
        EVENTS.c.type.label("event_type"),
        bindparam("now", type_=TIME).label("due_at"),
    )
    .select_from(EVENTS)
    .join(WEBHOOKS, WEBHOOKS.c.tenant_id == EVENTS.c.tenant_id)
    .where(
        EVENTS.c.tenant_id == bindparam("tenant_id"),
        WEBHOOKS.c.id == bindparam("webhook_id"),
        EVENTS.c.created_at >= bindparam("since", type_=TIME),
        EVENTS.c.created_at <= bindparam("until", type_=TIME),
        EVENTS.c.only_webhook_id.is_(None),
        is_heard(WEBHOOKS.c, EVENTS.c.type, EVENTS.c.actor_id),
        covers(bindparam("patterns", type_=ARRAY(ID)), EVENTS.c.type),
        ~exists().where(
            DELIVERIES.c.tenant_id == EVENTS.c.tenant_id,
            DELIVERIES.c.webhook_id == WEBHOOKS.c.id,
            DELIVERIES.c.id == _their_id,
            DELIVERIES.c.created_at == EVENTS.c.created_at,
            DELIVERIES.c.status == "succeeded",
        ),
    )
    .cte("missed")
)
_queued = (
    waiting.put_again(_missed, AGAIN)
    .returning(QUEUE.c.tenant_id, QUEUE.c.webhook_id, QUEUE.c.delivery_id)
    .cte("queued")
)
_AS_NEW = {"status": "pending", "next_attempt_at": bindparam("now", type_=TIME)}
_awaited = (
    insert(DELIVERIES)
    .from_select(
        [
            "tenant_id",
            "webhook_id",
            "id",
            "event_id",
            "created_at",
            "event_type",
            "status",
            "attempt_count",
            "next_attempt_at",
        ],
        select(
            _missed.c.tenant_id,
            _missed.c.webhook_id,
            _missed.c.id,
            _missed.c.event_id,
            _missed.c.created_at,
            _missed.c.event_type,
            literal("pending", Text),
            literal(0),
            _missed.c.due_at,
        ).join(_queued, _queued.c.delivery_id == _missed.c.id),
    )
    .on_conflict_do_update(
        index_elements=list(DELIVERIES.primary_key.columns),
        set_=_AS_NEW | {"completed_at": null()},
    )
    .returning(DELIVERIES.c.tenant_id)
    .cte("awaited")
)
REPLAY = Statement(select(func.count()).select_from(_awaited))


async def hold(conn: Connection, request: Request[Any, Any]) -> dict[str, str]:
    """The scope of the webhook, which stays there until the end of the transaction.

    Raises Problem (404, 409).
    """
    scope = {"tenant_id": request.tenant, "webhook_id": request.path["id"]}
    status = await HOLD.fetch_value(conn, **scope)
    if status is None:
        raise not_found()
    if status == "disabled":
        raise Problem("webhook_disabled", "The webhook is disabled. Enable it, then send again.")
    return scope


async def retry(conn: Connection, request: Request) -> Reply:
    """Due now, whatever became of it before; one that is being sent just now stays as it is."""
    scope = await hold(conn, request) | {"id": request.path["delivery_id"]}
    now = datetime.now(UTC)
    await QUEUE_ONE.execute(conn, **scope, now=now)
    await AWAIT_ONE.execute(conn, **scope, now=now)
    row: Record | None = await FIND.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    (shown,) = await deliveries.with_attempts(conn, request.tenant, [row])
    return reply_to(request, shown)


async def replay(conn: Connection, request: Request[Replay]) -> Reply:
    """One statement. Events without a delivery count too: the webhook was disabled, or younger."""
    now = datetime.now(UTC)
    since, until = request.body.since, request.body.until or now
    if since > now:
        raise invalid("since", "must not lie in the future")
    if until < since:
        raise invalid("until", "must not be before since")
    scope = await hold(conn, request)
    queued = await REPLAY.fetch_value(
        conn,
        **scope,
        since=max(since, now - KEPT),
        until=until,
        patterns=request.body.events or ["*"],
        now=now,
    )
    return reply_to(request, {"queued": queued})
