"""Leased deliveries, with all that an attempt needs: read by the statement that leases them.

A lease expires by itself, so that another dispatcher sends what a dead one had leased.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, Float, FromClause, Select, func, literal, select
from sqlmodel import SQLModel

from webhooks.tables import SECRETS, WEBHOOKS

LEASE_SECONDS = 60
"""Four times what an attempt can take."""
MAX_SECRETS = 5
"""The newest that are valid, however often a secret is rotated within a day."""


class LeasedDelivery(SQLModel):
    """A delivery that is leased to this process.

    `waited` is in seconds since it was due; `secrets` are encrypted, the newest first. `is_direct`:
    it was leased as it was queued, and not claimed.
    """

    tenant_id: str
    webhook_id: str
    delivery_id: str
    event_id: str
    created_at: datetime
    kind: int
    tries: int
    lease: str
    waited: float
    url: str
    content_type: str
    version: int
    failing_since: datetime | None
    type: str
    payload: str
    secrets: list[str]
    is_direct: bool


def lease_end() -> ColumnElement[datetime]:
    """When a lease that begins now expires."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, LEASE_SECONDS)


def read_leased(
    leased: CTE, event: FromClause, on: ColumnElement[bool], *, is_direct: bool
) -> Select[Any]:
    """The columns of LeasedDelivery: `leased` has rows of the queue, `event` type and payload."""
    secrets = (
        select(SECRETS.c.sealed)
        .where(
            SECRETS.c.tenant_id == leased.c.tenant_id,
            SECRETS.c.webhook_id == leased.c.webhook_id,
            SECRETS.c.expires_at.is_(None) | (SECRETS.c.expires_at > func.now()),
        )
        .correlate(leased)
        .order_by(SECRETS.c.created_at.desc())
        .limit(MAX_SECRETS)
        .subquery()
    )
    waited = func.extract("epoch", func.clock_timestamp() - leased.c.due_at).cast(Float)
    return (
        select(
            leased.c.tenant_id,
            leased.c.webhook_id,
            leased.c.delivery_id,
            leased.c.event_id,
            leased.c.created_at,
            leased.c.kind,
            leased.c.tries,
            leased.c.lease,
            waited.label("waited"),
            WEBHOOKS.c.url,
            WEBHOOKS.c.content_type,
            WEBHOOKS.c.version,
            WEBHOOKS.c.failing_since,
            event.c.type,
            event.c.payload,
            func.array(select(secrets.c.sealed).scalar_subquery()).label("secrets"),
            literal(is_direct).label("is_direct"),
        )
        .select_from(leased)
        .join(
            WEBHOOKS,
            (WEBHOOKS.c.tenant_id == leased.c.tenant_id) & (WEBHOOKS.c.id == leased.c.webhook_id),
        )
        .join(event, on)
        .order_by(leased.c.due_at)
    )
