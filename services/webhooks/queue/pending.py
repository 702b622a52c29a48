"""The pending deliveries of one webhook: counted, parked while it is disabled, resumed, deleted.

A row that is leased belongs to its dispatcher until the result is written or the lease expires.
"""

from chassis.statements import Statement
from sqlalchemy import bindparam, delete, func, null, or_, select, update

from webhooks.tables import DELIVERIES, IS_READY, IS_WAITING, QUEUE

_OF_WEBHOOK = (
    QUEUE.c.tenant_id == bindparam("tenant_id"),
    QUEUE.c.webhook_id == bindparam("webhook_id"),
)
_deleted = (
    delete(QUEUE)
    .where(*_OF_WEBHOOK)
    .returning(QUEUE.c.delivery_id, QUEUE.c.created_at)
    .cte("deleted")
)

COUNT = Statement(select(func.count()).select_from(QUEUE).where(*_OF_WEBHOOK))
PARK = Statement(
    update(QUEUE)
    .where(*_OF_WEBHOOK, or_(IS_READY, IS_WAITING))
    .values(state="parked", wake_at=null())
)
RESUME = Statement(
    update(QUEUE)
    .where(*_OF_WEBHOOK, QUEUE.c.state == "parked")
    .values(state="waiting", wake_at=QUEUE.c.due_at)
)
DELETE = Statement(
    delete(DELIVERIES).where(
        DELIVERIES.c.tenant_id == bindparam("tenant_id"),
        DELIVERIES.c.webhook_id == bindparam("webhook_id"),
        DELIVERIES.c.id == _deleted.c.delivery_id,
        DELIVERIES.c.created_at == _deleted.c.created_at,
    )
)
"""The rows of the queue, and the deliveries themselves."""
