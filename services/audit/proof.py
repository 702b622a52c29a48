"""The proof: the tenant's chain recomputed, page by page, against what is stored.

All of it within one request: some 100,000 events fit into the two seconds that an edge waits. For a
longer log the answer says so; `tenantry audit verify` has the time that it takes.
"""

import time

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.context import Context
from contracts.problems import Problem
from sqlalchemy import bindparam, select

from audit.tables import CHECKPOINTS, HEADS, LOGS
from audit.trail import FOLLOW
from audit.verify import Chain

PAGE = 1000
_SPARE_SECONDS = 0.1

ENDS = Statement(
    select(
        HEADS.c.sequence,
        HEADS.c.digest,
        CHECKPOINTS.c.sequence.label("floor"),
        CHECKPOINTS.c.digest.label("floor_digest"),
    )
    .select_from(LOGS)
    .where(HEADS.c.tenant_id == bindparam("tenant_id"))
)


async def prove(conn: Connection, request: Request) -> Reply:
    """`first_broken` is the first sequence that is changed, missing or out of its place."""
    ends = await ENDS.fetch_one(conn, tenant_id=request.tenant)
    if ends is None:
        return reply_to(request, {"valid": True, "length": 0, "head": None, "first_broken": None})
    while True:
        floor = ends["floor"] or 0
        followed = Chain(floor, ends["floor_digest"])
        valid = await _follow(conn, request.context, followed, ends["sequence"])
        valid = valid and followed.ends(ends["sequence"], ends["digest"])
        again = await ENDS.fetch_one(conn, tenant_id=request.tenant)
        if valid or again is None or again["floor"] == ends["floor"]:
            break
        ends = again  # Retention took its beginning away meanwhile.
    head = ends["digest"]
    proof = {
        "valid": valid,
        "length": ends["sequence"] - floor,
        "head": None if head is None else head.hex(),
        "first_broken": followed.first_broken,
    }
    return reply_to(request, proof)


async def _follow(conn: Connection, context: Context, followed: Chain, until: int) -> bool:
    """Along all events that there are up to that sequence."""
    after = followed.sequence
    while after < until:
        if time.time() > context.deadline - _SPARE_SECONDS:
            raise Problem(
                "service_unavailable",
                "The trail is too long to be proved within one request. "
                "Run `tenantry audit verify`, on the server or on an export.",
                retry_after=60,
            )
        limit = min(PAGE, until - after)
        rows = await FOLLOW.fetch_all(conn, tenant_id=context.tenant(), after=after, limit=limit)
        if not followed.follow(row for row in rows if row["sequence"] <= until):
            return False
        if not rows:
            break
        after = rows[-1]["sequence"]
    return True
