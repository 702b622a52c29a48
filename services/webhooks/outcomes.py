"""What became of attempts: written in batches, one statement each, while others are under way.

Only the holder of a lease writes: the queue decides, then the delivery and its attempt follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import structlog
from asyncpg import Record
from chassis import tracing
from chassis.database import ID, TIME, Pool
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    Integer,
    SmallInteger,
    Text,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.types import TypeEngine

from webhooks.delivery import Result
from webhooks.fairness import AGAIN
from webhooks.schedule import next_attempt
from webhooks.tables import ATTEMPTS, DELIVERIES, QUEUE, WEBHOOKS

log = structlog.get_logger()

GONE = 410

_FIELDS: dict[str, TypeEngine[Any]] = {
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
_given: Any = (
    func.unnest(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _FIELDS.items()))
    .table_valued(*(column(name, kind) for name, kind in _FIELDS.items()))
    .render_derived(name="given")
)
_given = select(_given).cte("given")
_HELD = tuple_(QUEUE.c.tenant_id, QUEUE.c.webhook_id, QUEUE.c.delivery_id, QUEUE.c.lease) == tuple_(
    _given.c.tenant_id, _given.c.webhook_id, _given.c.delivery_id, _given.c.lease
)
_done = (
    delete(QUEUE)
    .where(_HELD, _given.c.status != "pending")
    .returning(QUEUE.c.tenant_id, QUEUE.c.delivery_id)
    .cte("done")
)
_again = (
    update(QUEUE)
    .where(_HELD, _given.c.status == "pending")
    .values(
        state=case(
            (
                exists().where(
                    WEBHOOKS.c.tenant_id == QUEUE.c.tenant_id,
                    WEBHOOKS.c.id == QUEUE.c.webhook_id,
                    WEBHOOKS.c.status == "disabled",
                ),
                literal("parked", Text),
            ),
            else_=literal("waiting", Text),
        ),
        kind=literal(AGAIN, SmallInteger),
        tries=QUEUE.c.tries + 1,
        due_at=_given.c.next_attempt_at,
        wake_at=_given.c.next_attempt_at,
        lease=null(),
    )
    .returning(QUEUE.c.tenant_id, QUEUE.c.delivery_id)
    .cte("again")
)
_held = union_all(select(_done), select(_again)).cte("held")
_counted = (
    update(DELIVERIES)
    .where(
        DELIVERIES.c.tenant_id == _given.c.tenant_id,
        DELIVERIES.c.webhook_id == _given.c.webhook_id,
        DELIVERIES.c.id == _given.c.delivery_id,
        DELIVERIES.c.created_at == _given.c.created_at,
        _held.c.tenant_id == _given.c.tenant_id,
        _held.c.delivery_id == _given.c.delivery_id,
    )
    .values(
        status=_given.c.status,
        attempt_count=DELIVERIES.c.attempt_count + 1,
        next_attempt_at=_given.c.next_attempt_at,
        completed_at=_given.c.completed_at,
    )
    .returning(DELIVERIES.c.tenant_id, DELIVERIES.c.id, DELIVERIES.c.attempt_count)
    .cte("counted")
)
_ATTEMPT = [
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
# Across tenants, as the dispatcher works; each row is found by its own tenant's key.
WRITE = Statement(
    insert(ATTEMPTS).from_select(
        [*_ATTEMPT, "number"],
        select(*(_given.c[name] for name in _ATTEMPT), _counted.c.attempt_count).join(
            _counted,
            (_counted.c.tenant_id == _given.c.tenant_id) & (_counted.c.id == _given.c.delivery_id),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A claimed delivery, by the row of `claims.CLAIM`, and how its attempt went."""

    claimed: Record
    lease: str
    result: Result

    def row(self, now: datetime) -> dict[str, Any]:
        """The values of `_FIELDS`."""
        result, claimed = self.result, self.claimed
        status, again_at = "succeeded", None
        if not result.succeeded:
            again_at = next_attempt(claimed["tries"] + 1, now, result.retry_after)
            status = "failed" if again_at is None else "pending"
        return {
            "tenant_id": claimed["tenant_id"],
            "webhook_id": claimed["webhook_id"],
            "delivery_id": claimed["delivery_id"],
            "created_at": claimed["created_at"],
            "lease": self.lease,
            "status": status,
            "next_attempt_at": again_at,
            "completed_at": now if again_at is None else None,
            "at": result.at,
            "duration_ms": result.duration_ms,
            "response_status": result.response_status,
            "response_body": result.response_body,
            "error": result.error,
        }

    def log(self) -> None:
        """One line with all of it, and a span."""
        row, result = self.claimed, self.result
        event = orjson.loads(row["payload"])
        seconds = result.duration_ms / 1000
        tracing.record_span(
            "deliver", "CLIENT", event["traceparent"], seconds, outcome=result.outcome
        )
        log.info(
            "attempt",
            tenant_id=row["tenant_id"],
            webhook_id=row["webhook_id"],
            delivery_id=row["delivery_id"],
            event_id=row["event_id"],
            type=row["type"],
            tries=row["tries"] + 1,
            outcome=result.outcome,
            status=result.response_status,
            duration_ms=result.duration_ms,
            request_id=event["requestid"],
            trace_id=event["traceparent"][3:35],
        )


async def write(pool: Pool, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Writes them all."""
    rows = [each.row(now) for each in outcomes]
    columns = {name: [row[name] for row in rows] for name in _FIELDS}
    async with pool.acquire() as conn:
        await WRITE.execute(conn, **columns)
