"""The erasure of a tenant: see `outbox.tenant_erasure`.

Its log is closed at once, and erased some events at a time. The head stays as the tombstone.
"""

from datetime import datetime

from chassis.database import TIME, Connection
from chassis.statements import Statement
from outbox.inbox import ReceivedEvent
from outbox.tenant_erasure import TenantErasure
from sqlalchemy import bindparam, func, null, select, update

from audit.tables import COUNTERS, ERASURES, FORGOTTEN, HEADS

BATCH = 20_000
"""Events."""

CLOSE_LOG = Statement(
    update(HEADS)
    .where(HEADS.c.tenant_id == bindparam("tenant_id"))
    .values(closed_at=bindparam("now", type_=TIME))
)
ERASE_EVENTS = Statement(select(func.erase_events(bindparam("tenant_id"), bindparam("at_most"))))
RESET_HEAD = Statement(
    update(HEADS)
    .where(HEADS.c.tenant_id == bindparam("tenant_id"))
    .values(sequence=0, digest=null(), filed_at=null())
)


async def _erase_events(conn: Connection, tenant_id: str) -> int:
    count: int = await ERASE_EVENTS.fetch_value(conn, tenant_id=tenant_id, at_most=BATCH)
    return count


TENANT_ERASURE = TenantErasure(
    "audit", ERASURES, [COUNTERS, FORGOTTEN], first=_erase_events, last=[RESET_HEAD]
)


async def request_erasure(conn: Connection, event: ReceivedEvent, now: datetime) -> None:
    """From now on the tenant's log takes no event. The caller has locked the head.

    Requested again when all is done, it finds nothing to erase, and confirms again.
    """
    await CLOSE_LOG.execute(conn, tenant_id=event.tenant_id, now=now)
    await TENANT_ERASURE.request(conn, event)
