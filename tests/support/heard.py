"""Events as a service hears them, without a stream: made by the code that records them."""

from datetime import datetime
from typing import Any

import orjson
from contracts.context import Context
from contracts.events import event_subject
from contracts.ids import new_id
from contracts.lifecycle import LIFECYCLE_TYPES
from outbox.inbox import ReceivedEvent
from outbox.record import create_message

from support.owner import TRACE


def heard(
    tenant: str,
    type: str,
    subject: str,
    data: dict[str, Any] | None = None,
    *,
    time: datetime | str = "2026-01-15T10:00:00Z",
    actor: tuple[str, str | None] = ("api_key", "key_01jt7a3v9qf8mbd2m0q5k4h6xz"),
    request_id: str = "req_1",
    ip_address: str | None = "203.0.113.7",
    user_agent: str | None = "tests",
) -> ReceivedEvent:
    """An event of the tenant."""
    event = {
        "specversion": "1.0",
        "id": new_id("evt"),
        "source": "tenantry/identity",
        "type": type,
        "subject": subject,
        "time": time if isinstance(time, str) else time.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "tenantid": tenant,
        "actortype": actor[0],
        "actorid": actor[1],
        "requestid": request_id,
        "traceparent": TRACE,
        "data": data or {},
    }
    subject = event_subject("identity", type)
    return ReceivedEvent(event, subject, orjson.dumps(event), ip_address, user_agent)


def heard_lifecycle(tenant: str, type: str, data: dict[str, Any] | None = None) -> ReceivedEvent:
    """A message of projects to the other services."""
    context = Context(request_id="req_1", traceparent=TRACE, ip_address="203.0.113.9")
    message = LIFECYCLE_TYPES[type](**data or {})
    entry = create_message(context, message, "projects", tenant)
    return ReceivedEvent(
        orjson.loads(entry.payload),
        entry.subject,
        entry.payload,
        entry.ip_address,
        entry.user_agent,
    )
