"""The events of each of the last hours: what was created by its end, less what was by its start.

Counted as lists by date are (`audit.pagination`), so that both agree, and at the same cost
whatever the length of the log: a few probes of indexes for each hour. Nothing is written for it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.unit_of_work import read_only
from contracts.overview import HOURS

from audit.pagination import count_created_before

_HOUR = timedelta(hours=1)


@read_only()
async def get_events_overview(conn: Connection, request: Request) -> Reply:
    current = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    starts = [current - _HOUR * back for back in reversed(range(HOURS))]
    totals = await count_by_hour(conn, request.tenant, starts)
    hours = [{"start": start, "total": total} for start, total in zip(starts, totals, strict=True)]
    return reply_to(request, {"events": hours})


async def count_by_hour(conn: Connection, tenant_id: str, starts: Sequence[datetime]) -> list[int]:
    """How many events were created in the hour from each start on."""
    moments = [*starts, starts[-1] + _HOUR]
    counts = await count_created_before(conn, tenant_id, moments)
    return [end - begin for begin, end in pairwise(counts)]
