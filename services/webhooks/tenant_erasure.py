"""The erasure of a tenant: see `outbox.tenant_erasure`.

The tombstone and the deletion of its webhooks are one transaction with the event that requests the
erasure: from then on nothing of the tenant is sent, and nothing is stored.
"""

from collections.abc import Callable

from chassis.database import Connection, Pool
from chassis.idempotency import IDEMPOTENCY
from chassis.statements import Statement
from outbox.inbox import ReceivedEvent
from outbox.tables import OUTBOX
from outbox.tenant_erasure import TenantErasure
from sqlalchemy import bindparam, delete

from webhooks.tables import (
    ATTEMPTS,
    CASCADES,
    DELIVERIES,
    DELIVERY_COUNTS,
    ERASED_PEOPLE,
    ERASURES,
    EVENTS,
    FANOUTS,
    OUTCOMES,
    QUEUE,
    WEBHOOKS,
)

TENANT_ERASURE = TenantErasure(
    "webhooks",
    ERASURES,
    [
        CASCADES,
        FANOUTS,
        QUEUE,
        ATTEMPTS,
        OUTCOMES,
        DELIVERIES,
        DELIVERY_COUNTS,
        EVENTS,
        IDEMPOTENCY,
        ERASED_PEOPLE,
        OUTBOX,
    ],
    batch=2000,
)
DELETE_WEBHOOKS = Statement(delete(WEBHOOKS).where(WEBHOOKS.c.tenant_id == bindparam("tenant_id")))
"""With their secrets; the dispatcher claims nothing that has no webhook."""


async def request_erasure(conn: Connection, received: ReceivedEvent) -> None:
    """In the transaction of the event that requests it."""
    await TENANT_ERASURE.request(conn, received)
    await DELETE_WEBHOOKS.execute(conn, tenant_id=received.tenant_id)


async def erase_tenants(pool: Pool, on_erased: Callable[[], None]) -> None:
    """Erases every tenant that was requested. `on_erased` is called after each one."""
    await TENANT_ERASURE.run(pool, on_erased)
