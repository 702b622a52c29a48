"""Deliveries of a webhook: listed with their attempts, and one with its payload.

An answer fits into one message of the broker however much receivers have said.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to, stored_json
from chassis.statements import Statement
from contracts.models import Body
from contracts.problems import not_found
from contracts.webhooks import DeliveriesQuery
from sqlalchemy import ARRAY, Integer, Text, bindparam, case, cast, column, func, select
from sqlalchemy.dialects.postgresql import JSON, aggregate_order_by

from webhooks import webhooks
from webhooks.tables import ATTEMPTS, DELIVERIES, EVENTS

BODIES_BYTES = 600_000
"""What the stored answers of one page may take; when they are more, each is cut to its share."""
ATTEMPTS_SHOWN = 100
"""Of one delivery the newest: the schedule has ten, more come only by hand."""

COLUMNS = [each for each in DELIVERIES.c if each.name != "tenant_id"]
_WEBHOOK = (
    DELIVERIES.c.tenant_id == bindparam("tenant_id"),
    DELIVERIES.c.webhook_id == bindparam("webhook_id"),
)
ONE = (*_WEBHOOK, DELIVERIES.c.id == bindparam("id"))

FIND = Statement(
    select(*COLUMNS, EVENTS.c.payload)
    .join(
        EVENTS,
        (EVENTS.c.tenant_id == DELIVERIES.c.tenant_id)
        & (EVENTS.c.id == DELIVERIES.c.event_id)
        & (EVENTS.c.created_at == DELIVERIES.c.created_at),
    )
    .where(*ONE)
)

_asked = (
    func.unnest(bindparam("ids", type_=ARRAY(ID)), bindparam("counts", type_=ARRAY(Integer)))
    .table_valued(column("id", ID), column("attempt_count", Integer))
    .render_derived(name="asked")
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
        ATTEMPTS.c.delivery_id == _asked.c.id,
        ATTEMPTS.c.number <= _asked.c.attempt_count,
        ATTEMPTS.c.created_at >= bindparam("since", type_=TIME),
        ATTEMPTS.c.created_at <= bindparam("until", type_=TIME),
    )
    .subquery()
)
_told = func.octet_length(cast(func.to_json(_newest.c.response_body), Text))
_shown = (
    select(
        _newest,
        case(
            (func.sum(_told).over() <= BODIES_BYTES, _newest.c.response_body),
            else_=func.left(
                _newest.c.response_body, cast(BODIES_BYTES // 6 / func.count().over(), Integer)
            ),
        ).label("body"),
    )
    .where(_newest.c.place <= ATTEMPTS_SHOWN)
    .subquery()
)
_when = func.to_char(func.timezone("UTC", _shown.c.at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
_attempt = func.json_build_object(
    "number",
    _shown.c.number,
    "at",
    _when,
    "duration_ms",
    _shown.c.duration_ms,
    "response_status",
    _shown.c.response_status,
    "response_body",
    _shown.c.body,
    "error",
    _shown.c.error,
    type_=JSON,
)
FIND_ATTEMPTS = Statement(
    select(
        _shown.c.delivery_id,
        cast(func.json_agg(aggregate_order_by(_attempt, _shown.c.number)), Text).label("attempts"),
    ).group_by(_shown.c.delivery_id)
)

LIST = Listing(
    source=DELIVERIES,
    columns=COLUMNS,
    key=DELIVERIES.c.id,
    scope={"tenant_id": DELIVERIES.c.tenant_id, "webhook_id": DELIVERIES.c.webhook_id},
    filters={
        "status": lambda status: DELIVERIES.c.status == status,
        "event_type": lambda event_type: DELIVERIES.c.event_type == event_type,
        "created_after": lambda time: DELIVERIES.c.created_at >= time,
        "created_before": lambda time: DELIVERIES.c.created_at <= time,
    },
)


async def with_attempts(
    conn: Connection, tenant_id: str, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The deliveries as the contract shows them.

    An attempt that ended between the two statements is left out, as the row knows nothing of it.
    """
    if not rows:
        return []
    times = [row["created_at"] for row in rows]
    found = await FIND_ATTEMPTS.fetch_all(
        conn,
        tenant_id=tenant_id,
        ids=[row["id"] for row in rows],
        counts=[row["attempt_count"] for row in rows],
        since=min(times),
        until=max(times),
    )
    attempts = {each["delivery_id"]: stored_json(each["attempts"]) for each in found}
    return [shown(row, attempts.get(row["id"], [])) for row in rows]


def shown(row: Mapping[str, Any], attempts: Any) -> dict[str, Any]:
    """A delivery by `COLUMNS` with its attempts, a list or its JSON."""
    fields = {each.name: row[each.name] for each in COLUMNS if each.name != "attempt_count"}
    return fields | {"attempts": attempts}


async def find_all(conn: Connection, request: Request[Body, DeliveriesQuery]) -> Reply:
    """Newest first, by the time of the event."""
    scope = {"tenant_id": request.tenant, "webhook_id": request.path["id"]}
    if await webhooks.FIND.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"]) is None:
        raise not_found()
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    deliveries = await with_attempts(conn, request.tenant, rows)
    return reply_to(request, {"deliveries": deliveries, "pagination": pagination})


async def find(conn: Connection, request: Request) -> Reply:
    """One, with the body that was or will be sent."""
    scope = {"tenant_id": request.tenant, "id": request.path["id"]}
    webhook = await webhooks.FIND.fetch_one(conn, **scope)
    row = webhook and await FIND.fetch_one(
        conn,
        tenant_id=request.tenant,
        webhook_id=request.path["id"],
        id=request.path["delivery_id"],
    )
    if row is None:
        raise not_found()
    (delivery,) = await with_attempts(conn, request.tenant, [row])
    return reply_to(request, delivery | {"payload": stored_json(row["payload"])})
