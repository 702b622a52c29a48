"""Test events: an example for one webhook, sent in the same way as real events."""

from datetime import UTC, datetime
from typing import Any

from chassis.database import Connection
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.statements import Statement, parameters
from chassis.unit_of_work import transactional
from contracts.catalogue import EVENT_TYPES
from contracts.examples import example_event
from contracts.ids import new_id
from contracts.problems import invalid
from contracts.webhooks import TEST_EVENT, SendTest
from sqlalchemy import insert, select

from webhooks.queue.deliveries import to_delivery
from webhooks.queue.enqueue import create_deliveries, enqueue, new_delivery
from webhooks.queue.replay import lock_active_webhook
from webhooks.rules.fairness import MANUAL
from webhooks.tables import DELIVERIES, EVENTS, DeliveryRow

_event = insert(EVENTS).values(parameters(EVENTS.c)).returning(EVENTS).cte("event")
_delivery = (
    create_deliveries(
        select(*new_delivery(_event.c, _event.c.only_webhook_id, _event.c.created_at))
    )
    .returning(DELIVERIES)
    .cte("delivery")
)
CREATE = Statement(select(_delivery).add_cte(enqueue(_delivery, MANUAL).cte("queued")), DeliveryRow)


@transactional()
async def send_test_event(conn: Connection, request: Request[SendTest]) -> Reply:
    """The event is stored for this webhook alone, whatever types it wants."""
    event_type = request.body.event_type
    if event_type != TEST_EVENT and event_type not in EVENT_TYPES:
        raise invalid(
            "event_type",
            "must be an event type; GET /v1/admin/event-types lists them",
            "unknown_event_type",
        )
    key = await lock_active_webhook(conn, request)
    event = _example(request, event_type)
    row = await CREATE.fetch_one(
        conn,
        tenant_id=request.tenant,
        id=event["id"],
        created_at=event["time"],
        type=event_type,
        actor_id=request.context.actor_id,
        only_webhook_id=key["webhook_id"],
        payload=json_bytes(event).decode(),
        person_id=None,
        stream_sequence=None,
    )
    assert row is not None
    return reply_to(request, to_delivery(row, []))


def _example(request: Request[Any, Any], event_type: str) -> dict[str, Any]:
    """An event as it could have happened in the caller's tenant."""
    webhook_id = request.path["id"]
    if event_type == TEST_EVENT:
        example = {
            "specversion": "1.0",
            "source": "tenantry/webhooks",
            "type": TEST_EVENT,
            "subject": webhook_id,
            "datacontenttype": "application/json",
            "data": {"webhook_id": webhook_id, "message": "This is a test."},
        }
    else:
        example = example_event(EVENT_TYPES[event_type])
    return example | {
        "id": new_id("evt"),
        "time": datetime.now(UTC),
        "tenantid": request.tenant,
        "actortype": request.context.actor_type,
        "actorid": request.context.actor_id,
        "requestid": request.context.request_id,
        "traceparent": request.context.traceparent,
    }
