"""Claiming ready deliveries under a lease, and releasing them: across tenants, each by its key."""

from collections.abc import Sequence

from chassis.database import ID, Connection
from chassis.statements import Statement
from contracts.ids import new_id
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

from webhooks.queue.leased import LeasedDelivery, lease_end, read_leased
from webhooks.rules.fairness import Shares
from webhooks.tables import EVENTS, HAS_WAKE_TIME, IS_READY, QUEUE, WEBHOOKS

MAX_WOKEN = 2000
MAX_CLAIMED = 128

PLACE: ColumnElement[str] = literal_column("queue.ctid")
"""Where a locked row lies; it cannot move before the end of the statement."""

_woken = (
    select(PLACE.label("place"))
    .select_from(QUEUE)
    .where(HAS_WAKE_TIME, QUEUE.c.wake_at <= func.now())
    .order_by(QUEUE.c.wake_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
    .cte("woken")
)
WAKE = Statement(
    update(QUEUE).where(_woken.c.place == PLACE).values(state="ready", wake_at=null(), lease=null())
)
"""Makes ready the retries whose time has come, and the rows whose lease has expired."""

SECONDS_TO_NEXT_WAKE = Statement(
    select(func.extract("epoch", func.min(QUEUE.c.wake_at) - func.now()).cast(Float)).where(
        HAS_WAKE_TIME
    )
)


_share = (
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
    .render_derived(name="share")
)
_next = (
    select(PLACE.label("place"))
    .select_from(QUEUE)
    .where(
        IS_READY,
        QUEUE.c.tenant_id == _share.c.tenant_id,
        QUEUE.c.webhook_id == _share.c.webhook_id,
        QUEUE.c.kind == _share.c.kind,
    )
    .correlate(_share)
    .order_by(QUEUE.c.due_at)
    .limit(_share.c.n)
    .with_for_update(skip_locked=True)
    .lateral("next")
)
# Nothing of one that was disabled since it was found.
_picked = (
    select(_next.c.place)
    .select_from(_share)
    .join(
        WEBHOOKS,
        (WEBHOOKS.c.tenant_id == _share.c.tenant_id)
        & (WEBHOOKS.c.id == _share.c.webhook_id)
        & (WEBHOOKS.c.status == literal_column("'active'")),
    )
    .join(_next, true())
    .cte("picked")
)
_claimed = (
    update(QUEUE)
    .where(_picked.c.place == PLACE)
    .values(
        state="leased",
        wake_at=lease_end(),
        lease=bindparam("lease", type_=Text),
    )
    .returning(QUEUE)
    .cte("claimed")
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
CLAIM = Statement(read_leased(_claimed, _event, true(), is_direct=False), LeasedDelivery)

_unsent = (
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
    .render_derived(name="unsent")
)
RELEASE = Statement(
    update(QUEUE)
    .where(
        tuple_(QUEUE.c.tenant_id, QUEUE.c.webhook_id, QUEUE.c.delivery_id, QUEUE.c.lease)
        == tuple_(*_unsent.c)
    )
    .values(state="ready", wake_at=null(), lease=null())
)


async def wake(conn: Connection) -> float | None:
    """Makes ready what is due; returns in how many seconds more is, None if nothing else waits."""
    await WAKE.execute(conn, limit=MAX_WOKEN)
    seconds: float | None = await SECONDS_TO_NEXT_WAKE.fetch_value(conn)
    return seconds


async def claim(conn: Connection, shares: Shares) -> list[LeasedDelivery]:
    """Claims as many as the shares say, or fewer if others were faster; the oldest first."""
    return await CLAIM.fetch_all(
        conn,
        tenants=[tenant for tenant, _, _ in shares],
        webhooks=[webhook for _, webhook, _ in shares],
        kinds=[kind for _, _, kind in shares],
        counts=list(shares.values()),
        lease=new_id("lease"),
    )


async def release(conn: Connection, unsent: Sequence[LeasedDelivery]) -> None:
    """Makes ready again what was claimed and not sent, at an orderly stop."""
    await RELEASE.execute(
        conn,
        tenants=[each.tenant_id for each in unsent],
        webhooks=[each.webhook_id for each in unsent],
        deliveries=[each.delivery_id for each in unsent],
        leases=[each.lease for each in unsent],
    )
