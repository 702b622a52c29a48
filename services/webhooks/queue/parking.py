"""Parks what is ready of disabled webhooks: the dispatcher does not find it again at each search.

Whoever enables a webhook waits for this, and then resumes all that was parked.
"""

from collections.abc import Sequence

from chassis.database import ID, Connection
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    bindparam,
    column,
    func,
    literal_column,
    null,
    select,
    true,
    update,
)

from webhooks.queue.claim import PLACE
from webhooks.tables import IS_READY, QUEUE, WEBHOOKS

MAX_PARKED = 500
"""At once: replicas that want to claim wait for it."""

_limit: ColumnElement[int] = literal_column(str(MAX_PARKED))
_found = (
    func.unnest(bindparam("tenants", type_=ARRAY(ID)), bindparam("webhooks", type_=ARRAY(ID)))
    .table_valued(column("tenant_id", ID), column("id", ID))
    .render_derived(name="found")
)
_disabled = (
    select(WEBHOOKS.c.tenant_id, WEBHOOKS.c.id)
    .join_from(
        _found,
        WEBHOOKS,
        (WEBHOOKS.c.tenant_id == _found.c.tenant_id) & (WEBHOOKS.c.id == _found.c.id),
    )
    .where(WEBHOOKS.c.status == literal_column("'disabled'"))
    .with_for_update(read=True, skip_locked=True, of=WEBHOOKS)
    .cte("disabled")
)
_ready = (
    select(PLACE.label("place"), QUEUE.c.tenant_id)
    .select_from(QUEUE)
    .where(
        IS_READY, QUEUE.c.tenant_id == _disabled.c.tenant_id, QUEUE.c.webhook_id == _disabled.c.id
    )
    .correlate(_disabled)
    .limit(_limit)
    .with_for_update(skip_locked=True)
    .lateral("ready")
)
_some = select(_ready).select_from(_disabled.join(_ready, true())).limit(_limit).cte("some")
PARK = Statement(
    update(QUEUE)
    .where(QUEUE.c.tenant_id == _some.c.tenant_id, _some.c.place == PLACE)
    .values(state="parked", wake_at=null())
)


async def park(conn: Connection, webhooks: Sequence[tuple[str, str]]) -> bool:
    """`webhooks` by tenant and identifier; returns whether there may be more to park."""
    parked = await PARK.execute(
        conn, tenants=[tenant for tenant, _ in webhooks], webhooks=[id_ for _, id_ in webhooks]
    )
    return parked == MAX_PARKED
