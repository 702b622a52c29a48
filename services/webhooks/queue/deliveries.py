"""Deliveries of a webhook: a list of them with their attempts, and one with its payload.

A reply fits into one message of NATS, however long the receivers' responses were.
"""

from collections.abc import Sequence
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to, stored_json
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.models import Body
from contracts.problems import not_found
from contracts.webhooks import DeliveriesQuery, Delivery, matching_types
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Integer,
    Table,
    Text,
    bindparam,
    case,
    cast,
    column,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSON, aggregate_order_by
from sqlmodel import SQLModel

from webhooks.queue.delivery_counts import COUNTS
from webhooks.tables import (
    ATTEMPTS,
    DELIVERIES,
    EVENTS,
    QUEUE,
    WEBHOOKS,
    DeliveryColumns,
    DeliveryRow,
)

MAX_BODIES_BYTES = 600_000
"""Of the stored response bodies in one reply; if there are more, each is cut to its share."""
MAX_ATTEMPTS = 100
"""Of one delivery, the newest: the retry policy allows ten, more are made by hand."""

IS_ONE = (
    DELIVERIES.c.tenant_id == bindparam("tenant_id"),
    DELIVERIES.c.webhook_id == bindparam("webhook_id"),
    DELIVERIES.c.id == bindparam("id"),
)


class DeliveryWithPayload(DeliveryColumns):
    """A delivery and the event that is sent."""

    payload: str


class DeliveryAttempts(SQLModel):
    """The attempts of one delivery as JSON."""

    delivery_id: str
    attempts: str


WEBHOOK_EXISTS = Statement(
    select(WEBHOOKS.c.id).where(
        WEBHOOKS.c.tenant_id == bindparam("tenant_id"),
        WEBHOOKS.c.id == bindparam("webhook_id"),
    )
)
GET = Statement(select(DELIVERIES).where(*IS_ONE), DeliveryRow)
GET_WITH_PAYLOAD = Statement(
    select(DELIVERIES, EVENTS.c.payload)
    .join(
        EVENTS,
        (EVENTS.c.tenant_id == DELIVERIES.c.tenant_id)
        & (EVENTS.c.id == DELIVERIES.c.event_id)
        & (EVENTS.c.created_at == DELIVERIES.c.created_at),
    )
    .where(*IS_ONE),
    DeliveryWithPayload,
)

_wanted = (
    func.unnest(bindparam("ids", type_=ARRAY(ID)), bindparam("counts", type_=ARRAY(Integer)))
    .table_valued(column("id", ID), column("attempt_count", Integer))
    .render_derived(name="wanted")
)
_newest = (
    select(
        ATTEMPTS,
        func.row_number()
        .over(partition_by=ATTEMPTS.c.delivery_id, order_by=ATTEMPTS.c.number.desc())
        .label("place"),
    )
    .where(
        ATTEMPTS.c.tenant_id == bindparam("tenant_id"),
        ATTEMPTS.c.delivery_id == _wanted.c.id,
        ATTEMPTS.c.number <= _wanted.c.attempt_count,
        ATTEMPTS.c.created_at >= bindparam("since", type_=TIME),
        ATTEMPTS.c.created_at <= bindparam("until", type_=TIME),
    )
    .subquery()
)
_body_bytes = func.octet_length(cast(func.to_json(_newest.c.response_body), Text))
_cut = (
    select(
        _newest,
        case(
            (func.sum(_body_bytes).over() <= MAX_BODIES_BYTES, _newest.c.response_body),
            else_=func.left(
                _newest.c.response_body, cast(MAX_BODIES_BYTES // 6 / func.count().over(), Integer)
            ),
        ).label("body"),
    )
    .where(_newest.c.place <= MAX_ATTEMPTS)
    .subquery()
)
_at = func.to_char(func.timezone("UTC", _cut.c.at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
_attempt = func.json_build_object(
    "number",
    _cut.c.number,
    "at",
    _at,
    "duration_ms",
    _cut.c.duration_ms,
    "response_status",
    _cut.c.response_status,
    "response_body",
    _cut.c.body,
    "error",
    _cut.c.error,
    type_=JSON,
)
LIST_ATTEMPTS = Statement(
    select(
        _cut.c.delivery_id,
        cast(func.json_agg(aggregate_order_by(_attempt, _cut.c.number)), Text).label("attempts"),
    ).group_by(_cut.c.delivery_id),
    DeliveryAttempts,
)


def _listing(
    source: FromClause, deliveries: FromClause, key: ColumnElement[str], of: Table
) -> Listing[DeliveryRow]:
    """The list of `deliveries`, which come from `source`, in the order of `key`."""
    return Listing(
        row=DeliveryRow,
        source=source,
        columns=list(deliveries.c),
        key=key,
        scope={"tenant_id": of.c.tenant_id, "webhook_id": of.c.webhook_id},
        filters={
            "status": lambda status: deliveries.c.status == status,
            "event_type": lambda types: deliveries.c.event_type == func.any(types),
            "created_after": lambda time: deliveries.c.created_at >= time,
            "created_before": lambda time: deliveries.c.created_at <= time,
        },
        totals=COUNTS,
    )


_queued = (
    select(DELIVERIES)
    .where(
        DELIVERIES.c.tenant_id == QUEUE.c.tenant_id,
        DELIVERIES.c.webhook_id == QUEUE.c.webhook_id,
        DELIVERIES.c.id == QUEUE.c.delivery_id,
        DELIVERIES.c.created_at == QUEUE.c.created_at,
    )
    .limit(1)  # each is looked up by its key, whatever the statistics say
    .lateral("queued")
)
LIST = _listing(DELIVERIES, DELIVERIES, DELIVERIES.c.id, DELIVERIES)
LIST_PENDING = _listing(QUEUE.join(_queued, true()), _queued, QUEUE.c.delivery_id, QUEUE)
"""From the queue: among all deliveries the few that are pending would be looked for one by one."""


@read_only()
async def list_deliveries(conn: Connection, request: Request[Body, DeliveriesQuery]) -> Reply:
    """Newest first, by the time of the event."""
    scope = {"tenant_id": request.tenant, "webhook_id": request.path["id"]}
    if await WEBHOOK_EXISTS.fetch_value(conn, **scope) is None:
        raise not_found()
    filters = filters_of(request.query)
    if request.query.event_type is not None:
        filters["event_type"] = matching_types(request.query.event_type)
    listing = LIST_PENDING if request.query.status == "pending" else LIST
    rows, pagination = await listing.page(conn, request, scope, filters)
    deliveries = await with_attempts(conn, rows)
    return reply_to(request, {"deliveries": deliveries, "pagination": pagination})


@read_only()
async def get_delivery(conn: Connection, request: Request) -> Reply:
    """One delivery, with the body that was or will be sent."""
    scope = {"tenant_id": request.tenant, "webhook_id": request.path["id"]}
    if await WEBHOOK_EXISTS.fetch_value(conn, **scope) is None:
        raise not_found()
    row = await GET_WITH_PAYLOAD.fetch_one(conn, **scope, id=request.path["delivery_id"])
    if row is None:
        raise not_found()
    (delivery,) = await with_attempts(conn, [row])
    return reply_to(request, delivery | {"payload": stored_json(row.payload)})


async def with_attempts(conn: Connection, rows: Sequence[DeliveryColumns]) -> list[dict[str, Any]]:
    """Deliveries of one tenant as the API shows them.

    An attempt that ended between the two statements is left out, as the row does not count it.
    """
    if not rows:
        return []
    times = [row.created_at for row in rows]
    found = await LIST_ATTEMPTS.fetch_all(
        conn,
        tenant_id=rows[0].tenant_id,
        ids=[row.id for row in rows],
        counts=[row.attempt_count for row in rows],
        since=min(times),
        until=max(times),
    )
    attempts = {each.delivery_id: stored_json(each.attempts) for each in found}
    return [to_delivery(row, attempts.get(row.id, [])) for row in rows]


def to_delivery(row: DeliveryColumns, attempts: Any) -> dict[str, Any]:
    """A delivery as the API shows it, with its attempts: a list, or its JSON."""
    shown = {name: value for name, value in vars(row).items() if name in Delivery.model_fields}
    return shown | {"attempts": attempts}
