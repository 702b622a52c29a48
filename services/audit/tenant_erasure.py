"""The erasure of a tenant: see `outbox.tenant_erasure`.

Its log is closed at once, and erased some events at a time, by functions of the owner that mark
both. The head stays as the tombstone: a closed log is never opened again.
"""

from chassis.database import Connection
from chassis.statements import Statement
from outbox.inbox import ReceivedEvent
from outbox.tenant_erasure import TenantErasure
from sqlalchemy import bindparam, func, select

from audit.tables import COUNTERS, ERASURES, FORGOTTEN

BATCH = 20_000
"""Events."""

CLOSE_TRAIL = Statement(select(func.close_trail(bindparam("tenant_id"))))
ERASE_EVENTS = Statement(select(func.erase_events(bindparam("tenant_id"), bindparam("at_most"))))


async def _erase_events(conn: Connection, tenant_id: str) -> int:
    count: int = await ERASE_EVENTS.fetch_value(conn, tenant_id=tenant_id, at_most=BATCH)
    return count


TENANT_ERASURE = TenantErasure("audit", ERASURES, [COUNTERS, FORGOTTEN], first=_erase_events)


async def request_erasure(conn: Connection, event: ReceivedEvent) -> None:
    """From now on the tenant's log takes no event. The caller has locked the head.

    Requested again when all is done, it finds nothing to erase, and confirms again.
    """
    await CLOSE_TRAIL.fetch_value(conn, tenant_id=event.tenant_id)
    await TENANT_ERASURE.request(conn, event)
