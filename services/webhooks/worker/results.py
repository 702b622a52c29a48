"""Results of attempts: written in batches, one statement each, while other attempts are in flight.

Only the holder of a lease writes: the queue decides, then the delivery, its attempt and the count
of its outcome follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import structlog
from chassis import tracing
from chassis.database import ID, TIME, Pool
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    Integer,
    SmallInteger,
    Text,
    bindparam,
    column,
    delete,
    func,
    literal,
    null,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import TypeEngine

from webhooks.queue.leased import LeasedDelivery
from webhooks.rules.fairness import RETRY
from webhooks.rules.retry_policy import next_attempt_at
from webhooks.tables import ATTEMPTS, DELIVERIES, OUTCOMES, QUEUE
from webhooks.worker.attempt import AttemptResult

log = structlog.get_logger()

_PARAMETERS: dict[str, TypeEngine[Any]] = {
    "tenant_id": ID,
    "webhook_id": ID,
    "delivery_id": ID,
    "created_at": TIME,
    "lease": ID,
    "status": Text(),
    "next_attempt_at": TIME,
    "completed_at": TIME,
    "at": TIME,
    "duration_ms": Integer(),
    "response_status": Integer(),
    "response_body": Text(),
    "error": Text(),
}
_rows: Any = (
    func.unnest(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _PARAMETERS.items()))
    .table_valued(*(column(name, kind) for name, kind in _PARAMETERS.items()))
    .render_derived(name="result")
)
# It does not wait for the disk: an attempt whose result a crash of the server takes is made again.
_mode = select(func.set_config("synchronous_commit", "off", true())).cte("mode")
_result = select(_rows).join(_mode, true()).cte("result")
_HOLDS_LEASE = tuple_(
    QUEUE.c.tenant_id, QUEUE.c.webhook_id, QUEUE.c.delivery_id, QUEUE.c.lease
) == tuple_(_result.c.tenant_id, _result.c.webhook_id, _result.c.delivery_id, _result.c.lease)
_completed = (
    delete(QUEUE)
    .where(_HOLDS_LEASE, _result.c.status != "pending")
    .returning(QUEUE.c.tenant_id, QUEUE.c.delivery_id)
    .cte("completed")
)
_requeued = (
    update(QUEUE)
    .where(_HOLDS_LEASE, _result.c.status == "pending")
    .values(
        state=literal("waiting", Text),
        kind=literal(RETRY, SmallInteger),
        tries=QUEUE.c.tries + 1,
        due_at=_result.c.next_attempt_at,
        wake_at=_result.c.next_attempt_at,
        lease=null(),
    )
    .returning(QUEUE.c.tenant_id, QUEUE.c.delivery_id)
    .cte("requeued")
)
_leased = union_all(select(_completed), select(_requeued)).cte("leased")
_delivery = (
    update(DELIVERIES)
    .where(
        DELIVERIES.c.tenant_id == _result.c.tenant_id,
        DELIVERIES.c.webhook_id == _result.c.webhook_id,
        DELIVERIES.c.id == _result.c.delivery_id,
        DELIVERIES.c.created_at == _result.c.created_at,
        _leased.c.tenant_id == _result.c.tenant_id,
        _leased.c.delivery_id == _result.c.delivery_id,
    )
    .values(
        status=_result.c.status,
        attempt_count=DELIVERIES.c.attempt_count + 1,
        next_attempt_at=_result.c.next_attempt_at,
        completed_at=_result.c.completed_at,
    )
    .returning(DELIVERIES.c.tenant_id, DELIVERIES.c.id, DELIVERIES.c.attempt_count)
    .cte("delivery")
)
_ATTEMPT_COLUMNS = [
    "tenant_id",
    "webhook_id",
    "delivery_id",
    "created_at",
    "at",
    "duration_ms",
    "response_status",
    "response_body",
    "error",
]
_IS_WRITTEN = (_delivery.c.tenant_id == _result.c.tenant_id) & (
    _delivery.c.id == _result.c.delivery_id
)
_OUTCOMES = {"succeeded": "succeeded", "retried": "pending", "failed": "failed"}
"""The columns that count the results of a status."""
_hour = func.date_trunc("hour", _result.c.at, "UTC").label("hour")
_counted = insert(OUTCOMES).from_select(
    ["tenant_id", "webhook_id", "hour", *_OUTCOMES],
    select(
        _result.c.tenant_id,
        _result.c.webhook_id,
        _hour,
        *(
            func.count().filter(_result.c.status == literal(status, Text))
            for status in _OUTCOMES.values()
        ),
    )
    .join(_delivery, _IS_WRITTEN)
    .group_by(_result.c.tenant_id, _result.c.webhook_id, _hour)
    # Locked in one order: two dispatchers never wait for each other in a circle.
    .order_by(_result.c.tenant_id, _result.c.webhook_id, _hour),
)
# Across tenants, as the dispatcher works; each row is found by its own tenant's key.
WRITE_RESULTS = Statement(
    insert(ATTEMPTS)
    .from_select(
        [*_ATTEMPT_COLUMNS, "number"],
        select(*(_result.c[name] for name in _ATTEMPT_COLUMNS), _delivery.c.attempt_count).join(
            _delivery, _IS_WRITTEN
        ),
    )
    .add_cte(
        _counted.on_conflict_do_update(
            index_elements=list(OUTCOMES.primary_key),
            set_={name: OUTCOMES.c[name] + _counted.excluded[name] for name in _OUTCOMES},
        ).cte("counted")
    )
)


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """A claimed delivery, the result of its attempt, and the seconds of pause that it begins."""

    delivery: LeasedDelivery
    result: AttemptResult
    pause: float = 0.0

    def parameters(self, now: datetime) -> dict[str, Any]:
        """The values of `_PARAMETERS`."""
        delivery, result = self.delivery, self.result
        status, next_at = "succeeded", None
        if not result.succeeded:
            next_at = next_attempt_at(delivery.tries + 1, now, result.retry_after)
            status = "failed" if next_at is None else "pending"
        return {
            "tenant_id": delivery.tenant_id,
            "webhook_id": delivery.webhook_id,
            "delivery_id": delivery.delivery_id,
            "created_at": delivery.created_at,
            "lease": delivery.lease,
            "status": status,
            "next_attempt_at": next_at,
            "completed_at": now if next_at is None else None,
            "at": result.at,
            "duration_ms": result.duration_ms,
            "response_status": result.response_status,
            "response_body": result.response_body,
            "error": result.error,
        }

    def log(self) -> None:
        """One line with every field, and a span."""
        delivery, result = self.delivery, self.result
        event = orjson.loads(delivery.payload)
        seconds = result.duration_ms / 1000
        tracing.record_span(
            "deliver", "CLIENT", event["traceparent"], seconds, outcome=result.outcome
        )
        log.info(
            "attempt",
            tenant_id=delivery.tenant_id,
            webhook_id=delivery.webhook_id,
            delivery_id=delivery.delivery_id,
            event_id=delivery.event_id,
            type=delivery.type,
            tries=delivery.tries + 1,
            outcome=result.outcome,
            status=result.response_status,
            duration_ms=result.duration_ms,
            request_id=event["requestid"],
            trace_id=event["traceparent"][3:35],
        )


async def write_results(pool: Pool, attempts: Sequence[FinishedAttempt], now: datetime) -> None:
    """Writes all of them by one statement."""
    rows = [each.parameters(now) for each in attempts]
    columns = {name: [row[name] for row in rows] for name in _PARAMETERS}
    await WRITE_RESULTS.execute(pool, **columns)
