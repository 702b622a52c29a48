"""When sessions were last used: collected in memory, written every few seconds, never per request.

So the end of an idle session is known to within that interval. A use that is lost with its process
shortens a session by no more than that.
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
BATCH = 2_000
MAX_COLLECTED = 100_000
"""Uses of further sessions within one interval are dropped."""

_SECOND = literal_column("interval '1 second'", Interval)


def expires_at_after(used_at: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """When a session expires that was last used at that time."""
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
# Rows that another statement has locked are being used or revoked there: skipped, no deadlock.
_locked = (
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
    .cte("locked")
)
# A batch has sessions of many tenants; each is looked up in its own.
UPDATE_LAST_ACTIVE = Statement(
    update(SESSIONS)
    .where(SESSIONS.c.tenant_id == _locked.c.tenant_id, SESSIONS.c.id == _locked.c.id)
    .values(last_active_at=_locked.c.used_at, expires_at=expires_at_after(_locked.c.used_at))
)


class LastActive:
    """The uses that are not written yet."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, str], datetime] = {}

    def add(self, tenant_id: str, session_id: str, used_at: datetime) -> None:
        """A session was used."""
        if len(self._used) < MAX_COLLECTED or (tenant_id, session_id) in self._used:
            self._used[tenant_id, session_id] = used_at

    async def flush(self, pool: Pool) -> None:
        """Writes what was collected; what cannot be written is kept for the next time."""
        used, self._used = self._used, {}
        while used:
            batch = dict(list(used.items())[:BATCH])
            try:
                await UPDATE_LAST_ACTIVE.execute(
                    pool,
                    tenant_ids=[tenant_id for tenant_id, _ in batch],
                    ids=[session_id for _, session_id in batch],
                    times=list(batch.values()),
                )
            except Exception:
                self._used = used | self._used
                raise
            used = {key: used_at for key, used_at in used.items() if key not in batch}
