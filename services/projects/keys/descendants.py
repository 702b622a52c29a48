"""The descendants of a key: the keys that it made, those that they made, and so on.

One batch is revoked with the key, a cascade revokes the rest: those of one maker after the other,
and of each in the order of their ids. Makers before what they made, so nothing is added meanwhile.
"""

from collections import deque

from chassis.database import ID, Connection
from chassis.statements import Statement
from contracts.context import Context
from outbox.cascade import BATCH, Cascade, request_cascade
from outbox.record import OutboxEntry, record
from sqlalchemy import ARRAY, bindparam, exists, func, literal_column, select

from projects.cascades import DESCENDANTS
from projects.keys.key_rows import revoke_stored
from projects.tables import API_KEYS

MAKER_COST = 10
"""The statements for one maker cost as much as the revocation of so many keys."""

_OF_TENANT = API_KEYS.c.tenant_id == bindparam("tenant_id")
LIST_MADE = Statement(
    select(API_KEYS.c.id)
    .where(
        _OF_TENANT,
        API_KEYS.c.created_by == bindparam("maker_id"),
        API_KEYS.c.id > bindparam("after"),
    )
    .order_by(API_KEYS.c.id)
    .limit(bindparam("at_most"))
)
_each = (
    func.unnest(bindparam("ids", type_=ARRAY(ID))).table_valued("id", name="each").render_derived()
)
LIST_MAKERS = Statement(
    select(_each.c.id).where(
        exists(
            select(API_KEYS.c.id)
            .where(_OF_TENANT, API_KEYS.c.created_by == _each.c.id)
            .offset(literal_column("0"))
        )
    )
)


async def revoke_descendants(conn: Connection, context: Context, key_id: str) -> None:
    """A batch of them; the caller has locked and revoked the key itself."""
    await _revoke_some(conn, context, key_id, "", BATCH)


async def revoke_more(conn: Connection, context: Context, cascade: Cascade, at_most: int) -> bool:
    """A step: see `outbox.cascade`."""
    return await _revoke_some(conn, context, cascade.resource_id, cascade.last_id or "", at_most)


async def _revoke_some(
    conn: Connection, context: Context, key_id: str, after: str, at_most: int
) -> bool:
    """Whether the key itself has made more; of others that have there are cascades."""
    makers = deque([(key_id, after)])
    entries: list[OutboxEntry] = []
    while makers and at_most > 0:
        maker_id, after = makers.popleft()
        found = await LIST_MADE.fetch_all(
            conn, tenant_id=context.tenant(), maker_id=maker_id, after=after, at_most=at_most
        )
        ids = [row["id"] for row in found]
        entries += await revoke_stored(conn, context, ids)
        # By a statement of its own: a key that one of these was making is seen only now.
        made = await LIST_MAKERS.fetch_all(conn, tenant_id=context.tenant(), ids=ids)
        makers.extend((row["id"], "") for row in made)
        if len(ids) == at_most:
            makers.appendleft((maker_id, ids[-1]))
        at_most -= max(MAKER_COST, len(ids))
    await record(conn, entries)
    for maker_id, after in makers:
        await request_cascade(conn, context, DESCENDANTS, maker_id, last_id=after)
    return any(maker_id == key_id for maker_id, _ in makers)
