"""Claiming due deliveries under a lease, and giving them back: across tenants, each by its own key.

A lease ends by itself, so that what a dispatcher had that died is sent by another.
"""

from collections.abc import Mapping

from asyncpg import Record
from chassis.database import ID, Connection
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
from webhooks.tables import EVENTS, QUEUE, SECRETS, WEBHOOKS

AT_ONCE = 128
LEASE_SECONDS = 60
"""Four times what an attempt can take."""
SIGNING_SECRETS = 5
"""The newest that are valid, however often a secret is rotated within a day."""


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
# Lateral, so that each is looked up by its key in its week, whatever the planner believes of sizes.
_event = (
    select(EVENTS.c.type, EVENTS.c.payload)
    .where(
        EVENTS.c.tenant_id == _claimed.c.tenant_id,
        EVENTS.c.id == _claimed.c.event_id,
        EVENTS.c.created_at == _claimed.c.created_at,
    )
    .limit(literal_column("1"))
    .lateral("event")
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
        func.extract("epoch", func.clock_timestamp() - _claimed.c.due_at)
        .cast(Float)
        .label("waited"),
        WEBHOOKS.c.url,
        WEBHOOKS.c.version,
        WEBHOOKS.c.failing_since,
        _event.c.type,
        _event.c.payload,
        func.array(select(_secrets.c.sealed).scalar_subquery()).label("secrets"),
    )
    .select_from(_claimed)
    .join(
        WEBHOOKS,
        (WEBHOOKS.c.tenant_id == _claimed.c.tenant_id) & (WEBHOOKS.c.id == _claimed.c.webhook_id),
    )
    .join(_event, true())
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


async def claim(
    conn: Connection, wishes: Mapping[tuple[str, str, int], int], lease: str
) -> list[Record]:
    """As many of each (tenant, webhook, kind), or fewer when others were quicker; oldest first."""
    return await CLAIM.fetch_all(
        conn,
        tenants=[tenant for tenant, _, _ in wishes],
        webhooks=[webhook for _, webhook, _ in wishes],
        kinds=[kind for _, _, kind in wishes],
        counts=list(wishes.values()),
        lease=lease,
    )
