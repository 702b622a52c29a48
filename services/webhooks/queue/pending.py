"""The pending deliveries of one webhook: counted, resumed when it is enabled again, deleted.

A row that is leased belongs to its dispatcher until the result is written or the lease expires.
"""

from chassis.database import ID, TIME, Connection
from chassis.statements import Statement, any_of
from contracts.context import Context
from outbox.cascade import BATCH, Cascade, request_cascade
from sqlalchemy import ARRAY, bindparam, column, delete, func, select, update

from webhooks.tables import DELIVERIES, IS_PARKED, QUEUE, WEBHOOKS, QueueRow

_OF_WEBHOOK = (
    QUEUE.c.tenant_id == bindparam("tenant_id"),
    QUEUE.c.webhook_id == bindparam("webhook_id"),
)
_some = select(QUEUE.c.delivery_id).where(*_OF_WEBHOOK).limit(bindparam("at_most"))

DELETED_WEBHOOK = "webhook"
"""The kind of a cascade: a webhook that is deleted, whose pending deliveries still go."""
ENABLED_WEBHOOK = "enabled"
"""The kind of a cascade: a webhook that is enabled again, whose parked deliveries still wait."""

COUNT = Statement(select(func.count()).select_from(QUEUE).where(*_OF_WEBHOOK))
IS_ACTIVE = Statement(
    select(WEBHOOKS.c.status == "active").where(
        WEBHOOKS.c.tenant_id == bindparam("tenant_id"), WEBHOOKS.c.id == bindparam("webhook_id")
    )
)
_parked = select(QUEUE.c.delivery_id).where(*_OF_WEBHOOK, IS_PARKED).limit(bindparam("at_most"))
RESUME = Statement(
    update(QUEUE)
    .where(*_OF_WEBHOOK, QUEUE.c.delivery_id == any_of(_parked.with_for_update()))
    .values(state="waiting", wake_at=QUEUE.c.due_at)
)
UNQUEUE = Statement(
    delete(QUEUE)
    .where(*_OF_WEBHOOK, QUEUE.c.delivery_id == any_of(_some.with_for_update()))
    .returning(QUEUE.c.delivery_id, QUEUE.c.created_at),
    QueueRow,
)
_gone = (
    func.unnest(bindparam("ids", type_=ARRAY(ID)), bindparam("times", type_=ARRAY(TIME)))
    .table_valued(column("id", ID), column("created_at", TIME))
    .render_derived(name="gone")
)
# The oldest and the newest say which weeks there are to look at.
DELETE = Statement(
    delete(DELIVERIES).where(
        DELIVERIES.c.tenant_id == bindparam("tenant_id"),
        DELIVERIES.c.webhook_id == bindparam("webhook_id"),
        DELIVERIES.c.created_at.between(bindparam("oldest"), bindparam("newest")),
        DELIVERIES.c.id == _gone.c.id,
        DELIVERIES.c.created_at == _gone.c.created_at,
    )
)


async def delete_some(conn: Connection, tenant_id: str, webhook_id: str, at_most: int) -> bool:
    """Deletes so many pending deliveries; returns whether there may be more."""
    scope = {"tenant_id": tenant_id, "webhook_id": webhook_id}
    rows = await UNQUEUE.fetch_all(conn, **scope, at_most=at_most)
    if rows:
        times = [row.created_at for row in rows]
        await DELETE.execute(
            conn,
            **scope,
            ids=[row.delivery_id for row in rows],
            times=times,
            oldest=min(times),
            newest=max(times),
        )
    return len(rows) == at_most


async def delete_more(conn: Connection, _: Context, cascade: Cascade, at_most: int) -> bool:
    """A step after the deletion of a webhook: see `outbox.cascade`."""
    return await delete_some(conn, cascade.tenant_id, cascade.resource_id, at_most)


async def resume(conn: Connection, context: Context, webhook_id: str) -> None:
    """In the transaction that enables the webhook: what is parked goes on, very much in steps."""
    if await _resume_some(conn, context.tenant(), webhook_id, BATCH):
        await request_cascade(conn, context, ENABLED_WEBHOOK, webhook_id)


async def resume_more(conn: Connection, _: Context, cascade: Cascade, at_most: int) -> bool:
    """A step: see `outbox.cascade`. Of a webhook that is disabled again the rest stays parked."""
    key = {"tenant_id": cascade.tenant_id, "webhook_id": cascade.resource_id}
    return bool(await IS_ACTIVE.fetch_value(conn, **key)) and await _resume_some(
        conn, **key, at_most=at_most
    )


async def _resume_some(conn: Connection, tenant_id: str, webhook_id: str, at_most: int) -> bool:
    """Whether there may be more."""
    resumed = await RESUME.execute(
        conn, tenant_id=tenant_id, webhook_id=webhook_id, at_most=at_most
    )
    return resumed == at_most
