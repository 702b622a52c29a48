"""What is due: of which webhooks, how much of each kind; one replica looks at a time.

Across tenants: the dispatcher serves all of them. Tenants and webhooks are found by skipping
through the index of ready rows, so the length of a queue does not matter.
"""

from typing import Any

from chassis.database import ID
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    bindparam,
    column,
    func,
    literal_column,
    select,
    true,
)

from webhooks import waiting
from webhooks.fairness import AGAIN, BY_HAND, FIRST
from webhooks.tables import QUEUE, WEBHOOKS

IN_FLIGHT = 8
"""How many deliveries of one webhook may be under way, all replicas together."""
TURN = 5_021_977_317
TURN_TIMEOUT = "2s"

_ONE: ColumnElement[int] = literal_column("1")

TAKE_TURN = Statement(
    select(
        # Who hangs with the turn in hand loses it.
        func.set_config("idle_in_transaction_session_timeout", TURN_TIMEOUT, true()),
        func.pg_advisory_xact_lock(literal_column(str(TURN))),
    )
)
"""Replicas claim one after another: what one counts as under way no other changes meanwhile."""

_tenants = (
    select(QUEUE.c.tenant_id)
    .where(waiting.READY, QUEUE.c.tenant_id > bindparam("after"))
    .order_by(QUEUE.c.tenant_id)
    .limit(_ONE)
    .cte("tenants", recursive=True)
)
_next_tenant = (
    select(QUEUE.c.tenant_id)
    .where(waiting.READY, QUEUE.c.tenant_id > _tenants.c.tenant_id)
    .order_by(QUEUE.c.tenant_id)
    .limit(_ONE)
    .lateral()
)
_tenants = _tenants.union_all(
    select(_next_tenant.c.tenant_id).join_from(_tenants, _next_tenant, true())
)
TENANTS = Statement(select(_tenants.c.tenant_id).limit(bindparam("limit")))
"""Tenants with something due, the next ones after `after`."""

_of = (
    func.unnest(bindparam("tenants", type_=ARRAY(ID)), bindparam("afters", type_=ARRAY(ID)))
    .table_valued(column("tenant_id", ID), column("after", ID))
    .render_derived(name="of_tenant")
)
_lane = (
    select(QUEUE.c.webhook_id)
    .where(waiting.READY, QUEUE.c.tenant_id == _of.c.tenant_id, QUEUE.c.webhook_id > _of.c.after)
    .correlate(_of)
    .order_by(QUEUE.c.webhook_id)
    .limit(_ONE)
    .cte("lane", recursive=True, nesting=True)
)
_next_lane = (
    select(QUEUE.c.webhook_id)
    .where(
        waiting.READY, QUEUE.c.tenant_id == _of.c.tenant_id, QUEUE.c.webhook_id > _lane.c.webhook_id
    )
    .correlate(_of, _lane)
    .order_by(QUEUE.c.webhook_id)
    .limit(_ONE)
    .lateral()
)
_lane = _lane.union_all(select(_next_lane.c.webhook_id).join_from(_lane, _next_lane, true()))
_lanes = select(_lane.c.webhook_id).limit(bindparam("each")).lateral("lanes")


def _some(where: Any) -> Any:
    """How many, counted no further than a webhook's limit."""
    some = (
        select(literal_column("1"))
        .select_from(QUEUE)
        .where(
            where,
            QUEUE.c.tenant_id == _of.c.tenant_id,
            QUEUE.c.webhook_id == _lanes.c.webhook_id,
        )
        .correlate(_of, _lanes)
        .limit(literal_column(str(IN_FLIGHT)))
        .subquery()
    )
    return select(func.count()).select_from(some).scalar_subquery()


def _due(kind: int) -> Any:
    return _some(waiting.READY & (QUEUE.c.kind == literal_column(str(kind))))


LANES = Statement(
    select(
        _of.c.tenant_id,
        _lanes.c.webhook_id,
        WEBHOOKS.c.version,
        WEBHOOKS.c.status,
        _due(BY_HAND).label("by_hand"),
        _due(FIRST).label("first"),
        _due(AGAIN).label("again"),
        _some(waiting.LEASED).label("leased"),
    )
    .select_from(_of)
    .join(_lanes, true())
    .outerjoin(
        WEBHOOKS,
        (WEBHOOKS.c.tenant_id == _of.c.tenant_id) & (WEBHOOKS.c.id == _lanes.c.webhook_id),
    )
)
"""Webhooks of these tenants with something due, the next ones after each tenant's `after`."""
