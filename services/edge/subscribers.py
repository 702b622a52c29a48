"""Messages that the edge receives: what makes credentials that it remembers invalid, and that the
keys of access tokens changed.

Forgetting and fetching again is always safe, so little is asked of a message; but only projects is
believed. What is no such message is counted, and ends nothing.
"""

from typing import Annotated, Literal

import structlog
from chassis.telemetry import EVENTS_REFUSED
from contracts.topology import EDGE_LISTENS, EVENTS_PREFIX, LIFECYCLE_PREFIX, TOKEN_KEYS_CHANGED
from faststream import Context
from faststream.nats import NatsMessage, NatsRouter
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from edge.auth.credentials import Credentials

log = structlog.get_logger()
router = NatsRouter()

FROM_PROJECTS = (f"{EVENTS_PREFIX}.projects.", f"{LIFECYCLE_PREFIX}.projects.")
"""A consumer of the stream can have its messages sent to any subject; their own stays the same."""


class TenantChange(BaseModel):
    """The part of such an event that the edge reads; whatever else it has may change."""

    tenantid: str


async def keep_message(message: NatsMessage) -> Msg:
    """FastStream's decoder: whatever it is, the function below looks at it."""
    return message.raw_message


async def forget_credentials(
    message: NatsMessage, credentials: Annotated[Credentials, Context()]
) -> None:
    raw = message.raw_message
    if not raw.subject.startswith(FROM_PROJECTS):
        refuse("publisher")
        return
    try:
        change = TenantChange.model_validate_json(raw.data)
    except ValidationError:
        refuse("form")
        return
    credentials.forget_tenant(change.tenantid)


def refuse(reason: Literal["publisher", "form"]) -> None:
    """Counts a message that is no event of ours."""
    EVENTS_REFUSED.labels(reason).inc()
    log.error("events_refused", reason=reason, count=1)


@router.subscriber(TOKEN_KEYS_CHANGED, decoder=keep_message)
async def refresh_token_keys(credentials: Annotated[Credentials, Context()]) -> None:
    await credentials.tokens.keys.refresh()


EVENTS_REFUSED.labels("publisher")  # from 0: what begins with 1 has not increased
EVENTS_REFUSED.labels("form")
for subject in EDGE_LISTENS:
    router.subscriber(subject, decoder=keep_message)(forget_credentials)
