"""Test deliveries: an event made up for one webhook, sent by the same path as real ones."""

from datetime import UTC, datetime
from typing import Any

from chassis.database import Connection
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.statements import Statement, parameters
from contracts.catalogue import EVENT_TYPES
from contracts.examples import example_event
from contracts.ids import new_id
from contracts.problems import invalid
from contracts.webhooks import TEST_EVENT, SendTest
from sqlalchemy import Text, insert, literal, select

from webhooks import deliveries, resending, waiting
from webhooks.fairness import BY_HAND
from webhooks.tables import DELIVERIES, EVENTS, delivery_id

_event = insert(EVENTS).values(parameters(EVENTS.c)).returning(EVENTS).cte("event")
_made = (
    insert(DELIVERIES)
    .from_select(
        [
            "tenant_id",
            "webhook_id",
            "id",
            "created_at",
            "event_id",
            "event_type",
            "status",
            "attempt_count",
            "next_attempt_at",
        ],
        select(
            _event.c.tenant_id,
            _event.c.only_webhook_id,
            delivery_id(_event.c.only_webhook_id, _event.c.id),
            _event.c.created_at,
            _event.c.id,
            _event.c.type,
            literal("pending", Text),
            literal(0),
            _event.c.created_at,
        ),
    )
    .returning(DELIVERIES, DELIVERIES.c.created_at.label("due_at"))
    .cte("made")
)
INSERT = Statement(
    select(*(_made.c[column.name] for column in deliveries.COLUMNS)).add_cte(
        waiting.put(_made, BY_HAND).cte("queued")
    )
)


async def send_test(conn: Connection, request: Request[SendTest]) -> Reply:
    """The event is stored for this webhook alone, whatever it subscribes to."""
    event_type = request.body.event_type
    if event_type != TEST_EVENT and event_type not in EVENT_TYPES:
        raise invalid(
            "event_type",
            "must be an event type; GET /v1/admin/event-types lists them",
            "unknown_event_type",
        )
    scope = await resending.hold(conn, request)
    event = _sample(request, event_type)
    row = await INSERT.fetch_one(
        conn,
        tenant_id=request.tenant,
        id=event["id"],
        created_at=event["time"],
        type=event_type,
        actor_id=request.context.actor_id,
        only_webhook_id=scope["webhook_id"],
        payload=json_bytes(event).decode(),
    )
    assert row is not None
    return reply_to(request, deliveries.shown(row, []))


def _sample(request: Request[Any, Any], event_type: str) -> dict[str, Any]:
    """An event as it could have happened in the caller's tenant."""
    webhook_id = request.path["id"]
    if event_type == TEST_EVENT:
        sample = {
            "specversion": "1.0",
            "source": "tenantry/webhooks",
            "type": TEST_EVENT,
            "subject": webhook_id,
            "datacontenttype": "application/json",
            "data": {"webhook_id": webhook_id, "message": "This is a test."},
        }
    else:
        sample = example_event(EVENT_TYPES[event_type])
    return sample | {
        "id": new_id("evt"),
        "time": datetime.now(UTC),
        "tenantid": request.tenant,
        "actortype": request.context.actor_type,
        "actorid": request.context.actor_id,
        "requestid": request.context.request_id,
        "traceparent": request.context.traceparent,
    }
