"""When sessions were last used: gathered in memory, written every few seconds, never per request.

So the end of an idle session is known to within that interval. A use that is lost with its process
shortens a session by no more.
"""

from datetime import datetime

from chassis.database import ID, TIME, Pool
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Interval,
    bindparam,
    column,
    func,
    literal_column,
    select,
    update,
)

from identity.tables import SESSIONS

FLUSH_SECONDS = 5.0
WRITTEN = 2_000
GATHERED = 100_000
"""Uses of other sessions beyond that, within one interval, are forgotten."""

_SECOND = literal_column("interval '1 second'", Interval)


def end_after(used_at: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """When a session ends that was last used then."""
    return func.least(SESSIONS.c.ends_at, used_at + SESSIONS.c.idle_timeout * _SECOND)


_used = (
    func.unnest(
        bindparam("tenant_ids", type_=ARRAY(ID)),
        bindparam("ids", type_=ARRAY(ID)),
        bindparam("times", type_=ARRAY(TIME)),
    )
    .table_valued(column("tenant_id", ID), column("id", ID), column("used_at", TIME), name="used")
    .render_derived()
)
# A row that another statement holds is being used or revoked there: nobody waits in a circle.
_held = (
    select(SESSIONS.c.tenant_id, SESSIONS.c.id, _used.c.used_at)
    .join_from(
        SESSIONS,
        _used,
        (SESSIONS.c.tenant_id == _used.c.tenant_id) & (SESSIONS.c.id == _used.c.id),
    )
    .where(
        SESSIONS.c.status == "active",
        SESSIONS.c.last_active_at < _used.c.used_at,
        SESSIONS.c.expires_at > _used.c.used_at,
    )
    .with_for_update(skip_locked=True, key_share=True, of=SESSIONS)
    .cte("held")
)
# A batch has sessions of many tenants; each is looked up in its own.
WRITE = Statement(
    update(SESSIONS)
    .where(SESSIONS.c.tenant_id == _held.c.tenant_id, SESSIONS.c.id == _held.c.id)
    .values(last_active_at=_held.c.used_at, expires_at=end_after(_held.c.used_at))
)


class Activity:
    """The uses that are not written yet."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, str], datetime] = {}

    def note(self, tenant_id: str, session_id: str, at: datetime) -> None:
        """A session was used just now."""
        if len(self._used) < GATHERED or (tenant_id, session_id) in self._used:
            self._used[tenant_id, session_id] = at

    async def flush(self, pool: Pool) -> None:
        """Writes what was gathered; what cannot be written waits for the next time."""
        used, self._used = self._used, {}
        while used:
            some = dict(list(used.items())[:WRITTEN])
            try:
                async with pool.acquire() as conn:
                    await WRITE.execute(
                        conn,
                        tenant_ids=[tenant_id for tenant_id, _ in some],
                        ids=[session_id for _, session_id in some],
                        times=list(some.values()),
                    )
            except Exception:
                self._used = used | self._used
                raise
            used = {name: at for name, at in used.items() if name not in some}
