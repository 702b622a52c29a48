"""The proof: the tenant's chain recomputed by PostgreSQL, in slices, and compared with its head.

Digests are made off this process's loop, on connections that nothing else waits for. A slice ends
within a second; what is longer goes on at `next_after`.
"""

import time
from dataclasses import dataclass

from chassis.database import Connection, Pool
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.audit import ProofQuery
from contracts.models import Body
from contracts.problems import invalid
from sqlalchemy import LargeBinary, bindparam, exists, func, literal_column, not_, select
from sqlmodel import SQLModel

from audit.chain_sql import FITS
from audit.queries import PAGE_AFTER
from audit.tables import CHECKPOINTS, EVENTS, HEADS, LOGS, MARKS, MarkRow

SLICE_SECONDS = 0.5
"""From there on a slice begins no other step."""
STEP = 10_000
"""Events that one statement verifies, in about a tenth of a second."""
MAX_MARKS = 100


class LogBounds(SQLModel):
    """The last event of a log, and the last that retention has dropped: 0 if none.

    `is_erased`: some of its events are gone with their tenant, or all.
    """

    sequence: int
    digest: bytes | None
    is_closed: bool
    is_erased: bool
    floor: int
    floor_digest: bytes | None


NO_LOG = LogBounds(
    sequence=0, digest=None, is_closed=False, is_erased=False, floor=0, floor_digest=None
)


class VerifiedStep(SQLModel):
    """How many events a step found, and the first place at which none or another one belongs."""

    count: int
    first_broken: int | None


GET_BOUNDS = Statement(
    select(
        HEADS.c.sequence,
        HEADS.c.digest,
        HEADS.c.closed_at.is_not(None).label("is_closed"),
        exists()
        .where(MARKS.c.tenant_id == HEADS.c.tenant_id, MARKS.c.kind == "erased")
        .label("is_erased"),
        func.coalesce(CHECKPOINTS.c.sequence, literal_column("0")).label("floor"),
        CHECKPOINTS.c.digest.label("floor_digest"),
    )
    .select_from(LOGS)
    .where(HEADS.c.tenant_id == bindparam("tenant_id")),
    LogBounds,
)
GET_DIGEST = Statement(
    select(EVENTS.c.digest)
    .where(EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.sequence == bindparam("sequence"))
    .limit(literal_column("1"))
)
LIST_MARKS = Statement(
    select(*MARKS.c)
    .where(MARKS.c.tenant_id == bindparam("tenant_id"))
    .order_by(MARKS.c.marked_at.desc(), MARKS.c.sequence.desc())
    .limit(literal_column(str(MAX_MARKS))),
    MarkRow,
)
_page = PAGE_AFTER.subquery("page")
_links = select(
    *_page.c,
    (func.row_number().over(order_by=_page.c.sequence) + bindparam("after")).label("place"),
    func.coalesce(
        func.lag(_page.c.digest).over(order_by=_page.c.sequence),
        bindparam("previous", type_=LargeBinary),
    ).label("previous"),
).subquery("e")
VERIFY_STEP = Statement(
    select(
        func.count().label("count"),
        func.min(_links.c.place).filter(not_(literal_column(f"({FITS})"))).label("first_broken"),
    ).select_from(_links),
    VerifiedStep,
)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a log, verified up to the sequence `end`, and the first that is broken in it."""

    bounds: LogBounds
    end: int
    first_broken: int | None = None

    @property
    def is_last(self) -> bool:
        return self.first_broken is not None or self.end == self.bounds.sequence


@read_only(on_pool=True)
async def get_proof(_: Pool, request: Request[Body, ProofQuery], proofs: Pool) -> Reply:
    """`first_broken` is the first sequence that is changed, missing or out of its place.

    A closed log takes no events, so for whoever can ask the next one is missing.
    """
    async with proofs.acquire() as conn:
        found = await verify_slice(conn, request.tenant, request.query.after)
        marks = await LIST_MARKS.fetch_all(conn, tenant_id=request.tenant)
    bounds, first_broken = found.bounds, found.first_broken
    if first_broken is None and found.is_last and bounds.is_closed:
        first_broken = bounds.sequence + 1
    proof = {
        "valid": first_broken is None,
        "length": bounds.sequence - bounds.floor,
        "floor": bounds.floor,
        "head": _hex(bounds.digest),
        "first_broken": first_broken,
        "next_after": None if found.is_last else found.end,
        "marks": [mark_shown(mark) for mark in marks],
    }
    return reply_to(request, proof)


async def verify_slice(conn: Connection, tenant_id: str, after: int) -> Slice:
    """Recomputes a log from the event after that sequence; the log may grow meanwhile."""
    until = time.monotonic() + SLICE_SECONDS
    bounds = await _get_bounds(conn, tenant_id)
    if after > bounds.sequence:
        raise invalid("after", "must be the sequence of an event", "out_of_range")
    while True:
        found = await _verify(conn, tenant_id, bounds, max(after, bounds.floor), until)
        if found.first_broken is None:
            return found
        latest = await _get_bounds(conn, tenant_id)
        if latest.floor == bounds.floor:
            return found
        bounds = latest  # Retention dropped its beginning meanwhile.


async def _get_bounds(conn: Connection, tenant_id: str) -> LogBounds:
    return await GET_BOUNDS.fetch_one(conn, tenant_id=tenant_id) or NO_LOG


async def _verify(
    conn: Connection, tenant_id: str, bounds: LogBounds, after: int, until: float
) -> Slice:
    """Step by step, at least one of them."""
    while True:
        digest = bounds.floor_digest
        if after > bounds.floor:
            digest = await GET_DIGEST.fetch_value(conn, tenant_id=tenant_id, sequence=after)
            if digest is None:
                return Slice(bounds, after, after)
        if after == bounds.sequence:
            return Slice(bounds, after, None if digest == bounds.digest else after)
        limit = min(STEP, bounds.sequence - after)
        step = await VERIFY_STEP.fetch_one(
            conn, tenant_id=tenant_id, after=after, limit=limit, previous=digest
        )
        assert step is not None
        if step.first_broken is not None or step.count < limit:
            return Slice(bounds, after, step.first_broken or after + step.count + 1)
        after += limit
        if time.monotonic() > until and after < bounds.sequence:
            return Slice(bounds, after)


def mark_shown(mark: MarkRow) -> dict[str, object]:
    """The mark as the API shows it."""
    return {
        "kind": mark.kind,
        "sequence": mark.sequence,
        "digest": _hex(mark.digest),
        "marked_at": mark.marked_at,
    }


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()
