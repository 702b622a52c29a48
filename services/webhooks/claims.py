"""Claiming due deliveries under a lease: the statements of the dispatcher.

They go across tenants: the dispatcher serves all of them, and what it takes it takes by tenant.
Tenants and webhooks with something due are found by skipping through the index of ready rows, so
the length of a queue does not matter.
"""

from typing import Any

from chassis.database import ID
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    Integer,
    SmallInteger,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    null,
    select,
    true,
    tuple_,
    update,
)

from webhooks import waiting
from webhooks.fairness import AGAIN, BY_HAND, FIRST
from webhooks.tables import EVENTS, QUEUE, SECRETS, WEBHOOKS

AT_ONCE = 128
LEASE_SECONDS = 60
"""Four times what an attempt can take."""
SIGNING_SECRETS = 5
"""The newest that are valid, however often a secret is rotated within a day."""

IN_FLIGHT = 8
"""How many deliveries of one webhook may be under way, all replicas together."""

_ONE: ColumnElement[int] = literal_column("1")
_ROW: ColumnElement[str] = literal_column("queue.ctid")
"""Where a locked row lies; it cannot move before the end of the statement."""

_woken = (
    select(_ROW.label("place"))
    .select_from(QUEUE)
    .where(waiting.WAKES, QUEUE.c.wake_at <= func.now())
    .order_by(QUEUE.c.wake_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
    .cte("woken")
)
WAKE = Statement(
    update(QUEUE).where(_woken.c.place == _ROW).values(state="ready", wake_at=null(), lease=null())
)
"""Retries whose time has come, and what a dispatcher that died had leased."""

NEXT_WAKE = Statement(
    select(func.extract("epoch", func.min(QUEUE.c.wake_at) - func.now()).cast(Float)).where(
        waiting.WAKES
    )
)


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

_wish = (
    func.unnest(
        bindparam("tenants", type_=ARRAY(ID)),
        bindparam("webhooks", type_=ARRAY(ID)),
        bindparam("kinds", type_=ARRAY(SmallInteger)),
        bindparam("counts", type_=ARRAY(Integer)),
    )
    .table_valued(
        column("tenant_id", ID),
        column("webhook_id", ID),
        column("kind", SmallInteger),
        column("n", Integer),
    )
    .render_derived(name="wish")
)
_next = (
    select(_ROW.label("place"))
    .select_from(QUEUE)
    .where(
        waiting.READY,
        QUEUE.c.tenant_id == _wish.c.tenant_id,
        QUEUE.c.webhook_id == _wish.c.webhook_id,
        QUEUE.c.kind == _wish.c.kind,
    )
    .correlate(_wish)
    .order_by(QUEUE.c.due_at)
    .limit(_wish.c.n)
    .with_for_update(skip_locked=True)
    .lateral("next")
)
_picked = select(_next.c.place).select_from(_wish).join(_next, true()).cte("picked")
_claimed = (
    update(QUEUE)
    .where(_picked.c.place == _ROW)
    .values(
        state="leased",
        wake_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, LEASE_SECONDS),
        lease=bindparam("lease", type_=Text),
    )
    .returning(QUEUE)
    .cte("claimed")
)
_secrets = (
    select(SECRETS.c.sealed)
    .where(
        SECRETS.c.tenant_id == _claimed.c.tenant_id,
        SECRETS.c.webhook_id == _claimed.c.webhook_id,
        SECRETS.c.expires_at.is_(None) | (SECRETS.c.expires_at > func.now()),
    )
    .correlate(_claimed)
    .order_by(SECRETS.c.created_at.desc())
    .limit(SIGNING_SECRETS)
    .subquery()
)
CLAIM = Statement(
    select(
        _claimed.c.tenant_id,
        _claimed.c.webhook_id,
        _claimed.c.delivery_id,
        _claimed.c.event_id,
        _claimed.c.created_at,
        _claimed.c.kind,
        _claimed.c.tries,
        WEBHOOKS.c.url,
        WEBHOOKS.c.version,
        WEBHOOKS.c.failing_since,
        EVENTS.c.type,
        EVENTS.c.payload,
        func.array(select(_secrets.c.sealed).scalar_subquery()).label("secrets"),
    )
    .select_from(_claimed)
    .join(
        WEBHOOKS,
        (WEBHOOKS.c.tenant_id == _claimed.c.tenant_id) & (WEBHOOKS.c.id == _claimed.c.webhook_id),
    )
    .join(
        EVENTS,
        (EVENTS.c.tenant_id == _claimed.c.tenant_id)
        & (EVENTS.c.id == _claimed.c.event_id)
        & (EVENTS.c.created_at == _claimed.c.created_at),
    )
    .order_by(_claimed.c.due_at)
)

_given_back = (
    func.unnest(
        bindparam("tenants", type_=ARRAY(ID)),
        bindparam("webhooks", type_=ARRAY(ID)),
        bindparam("deliveries", type_=ARRAY(ID)),
        bindparam("leases", type_=ARRAY(ID)),
    )
    .table_valued(
        column("tenant_id", ID),
        column("webhook_id", ID),
        column("delivery_id", ID),
        column("lease", ID),
    )
    .render_derived(name="given_back")
)
GIVE_BACK = Statement(
    update(QUEUE)
    .where(
        tuple_(QUEUE.c.tenant_id, QUEUE.c.webhook_id, QUEUE.c.delivery_id, QUEUE.c.lease)
        == tuple_(*_given_back.c)
    )
    .values(state="ready", wake_at=null(), lease=null())
)
"""What was claimed and not sent, at an orderly stop."""
