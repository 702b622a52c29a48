"""Sending again: one delivery by hand, or every event of a period that did not succeed: very many
in steps.

The row of the queue is locked before that of the delivery, as the dispatcher does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from chassis.database import ID, TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import transactional
from contracts.context import Context
from contracts.ids import new_id
from contracts.problems import Problem, invalid, not_found
from contracts.webhooks import Replay
from outbox.cascade import BATCH, Cascade, request_cascade
from sqlalchemy import (
    ARRAY,
    CTE,
    bindparam,
    exists,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel

from webhooks.queue.deliveries import GET, IS_ONE, with_attempts
from webhooks.queue.enqueue import delivery_id, enqueue_again, new_delivery
from webhooks.queue.event_filter import matches, wants
from webhooks.rules.fairness import MANUAL, RETRY
from webhooks.tables import DELIVERIES, EVENTS, IS_LEASED, QUEUE, WEBHOOKS

KEPT = timedelta(days=30)
MAX_COUNTED = 20_000
"""Events of the period that are looked at before the answer; a cascade queues however many."""
REPLAY = "replay"
"""The kind of the cascade: `resource_id` is of this replay alone, `detail` its `Period`, and it is
done up to the event `last_id`.
"""

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

_some = (
    select(*(EVENTS.c[name] for name in ("tenant_id", "id", "created_at", "type", "actor_id")))
    .where(
        EVENTS.c.tenant_id == bindparam("tenant_id"),
        EVENTS.c.id > bindparam("after"),
        EVENTS.c.created_at >= bindparam("since", type_=TIME),
        EVENTS.c.created_at <= bindparam("until", type_=TIME),
        EVENTS.c.only_webhook_id.is_(None),
    )
    .order_by(EVENTS.c.id)
    .limit(bindparam("at_most"))
    .cte("some")
)
_missed = (
    select(*new_delivery(_some.c, WEBHOOKS.c.id, bindparam("now", type_=TIME)))
    .select_from(_some)
    .join(WEBHOOKS, WEBHOOKS.c.tenant_id == _some.c.tenant_id)
    .where(
        WEBHOOKS.c.tenant_id == bindparam("tenant_id"),
        WEBHOOKS.c.id == bindparam("webhook_id"),
        wants(WEBHOOKS.c, _some.c.type, _some.c.actor_id),
        matches(bindparam("patterns", type_=ARRAY(ID)), _some.c.type),
        # OFFSET 0: looked up for each, whatever the planner believes of sizes.
        ~exists(
            select(DELIVERIES.c.id)
            .where(
                DELIVERIES.c.tenant_id == _some.c.tenant_id,
                DELIVERIES.c.webhook_id == WEBHOOKS.c.id,
                DELIVERIES.c.id == delivery_id(WEBHOOKS.c.id, _some.c.id),
                DELIVERIES.c.created_at == _some.c.created_at,
                DELIVERIES.c.status == "succeeded",
            )
            .offset(literal_column("0"))
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


class Found(SQLModel):
    """How many of some events were missed, how many these are, and the last of them."""

    missed: int
    events: int
    last_id: str | None


def _found(missed: CTE) -> Statement[Found]:
    return Statement(
        select(
            select(func.count()).select_from(missed).scalar_subquery().label("missed"),
            select(func.count()).select_from(_some).scalar_subquery().label("events"),
            select(func.max(_some.c.id)).scalar_subquery().label("last_id"),
        ),
        Found,
    )


QUEUE_SOME = _found(_pending)
COUNT_SOME = _found(_missed)


@dataclass(frozen=True, slots=True)
class Period:
    """What is sent again, as a cascade keeps it; times as RFC 3339 has them."""

    webhook_id: str
    since: str
    until: str
    patterns: Sequence[str]

    def parameters(self) -> dict[str, Any]:
        times = {"since": self.since, "until": self.until}
        parsed = {name: datetime.fromisoformat(time) for name, time in times.items()}
        return {"webhook_id": self.webhook_id, "patterns": self.patterns, **parsed}


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
    period = Period(
        key["webhook_id"],
        since=max(since, now - KEPT).isoformat(),
        until=until.isoformat(),
        patterns=request.body.events or ["*"],
    )
    found = await _run(QUEUE_SOME, conn, period, tenant_id=request.tenant, at_most=BATCH)
    is_exact = True
    if found.events == BATCH:
        detail, last_id = orjson.dumps(period).decode(), found.last_id
        replay_id = new_id("rpl")
        await request_cascade(
            conn, request.context, REPLAY, replay_id, detail=detail, last_id=last_id
        )
        found = await _run(COUNT_SOME, conn, period, tenant_id=request.tenant, at_most=MAX_COUNTED)
        is_exact = found.events < MAX_COUNTED
    return reply_to(request, {"queued": found.missed, "queued_exact": is_exact})


async def replay_more(conn: Connection, context: Context, cascade: Cascade, at_most: int) -> bool:
    """A step: see `outbox.cascade`. Nothing more of a webhook that was deleted."""
    period = Period(**orjson.loads(cascade.detail or ""))
    key = {"tenant_id": cascade.tenant_id, "webhook_id": period.webhook_id}
    if await LOCK_WEBHOOK_STATUS.fetch_value(conn, **key) is None:
        return False
    after = cascade.last_id or ""
    found = await _run(
        QUEUE_SOME, conn, period, tenant_id=cascade.tenant_id, after=after, at_most=at_most
    )
    if found.events < at_most:
        return False
    await request_cascade(
        conn, context, REPLAY, cascade.resource_id, detail=cascade.detail, last_id=found.last_id
    )
    return True


async def _run(
    statement: Statement[Found], conn: Connection, period: Period, **values: Any
) -> Found:
    found = await statement.fetch_one(
        conn, **{"after": "", "now": datetime.now(UTC), **period.parameters(), **values}
    )
    assert found is not None, "counts always have a row"
    return found
