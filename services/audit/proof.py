"""The proof: the tenant's chain recomputed, page by page, and compared with what is stored.

All of it within one request: some 100,000 events fit into the two seconds that an edge waits. For a
longer log the reply says so; `tenantry audit verify` has the time that it takes.
"""

import time
from collections.abc import Callable
from dataclasses import asdict

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.problems import Problem
from sqlalchemy import bindparam, select
from sqlmodel import SQLModel

from audit import queries
from audit.tables import CHECKPOINTS, HEADS, LOGS
from audit.verify import ChainVerifier, Verdict

PAGE_SIZE = 1000
_SPARE_SECONDS = 0.1


class LogBounds(SQLModel):
    """The last event of a log, and if retention has dropped events, the last of those."""

    sequence: int
    digest: bytes | None
    floor: int | None
    floor_digest: bytes | None


GET_BOUNDS = Statement(
    select(
        HEADS.c.sequence,
        HEADS.c.digest,
        CHECKPOINTS.c.sequence.label("floor"),
        CHECKPOINTS.c.digest.label("floor_digest"),
    )
    .select_from(LOGS)
    .where(HEADS.c.tenant_id == bindparam("tenant_id")),
    LogBounds,
)


@read_only()
async def get_proof(conn: Connection, request: Request) -> Reply:
    """`first_broken` is the first sequence that is changed, missing or out of its place."""

    def check_deadline() -> None:
        if time.time() > request.context.deadline - _SPARE_SECONDS:
            raise Problem(
                "service_unavailable",
                "The trail is too long to be proved within one request. "
                "Run `tenantry audit verify`, on the server or on an export.",
                retry_after=60,
            )

    verdict = await verify_log(conn, request.tenant, check_deadline) or Verdict()
    return reply_to(request, {"valid": verdict.first_broken is None, **asdict(verdict)})


async def verify_log(
    conn: Connection, tenant_id: str, before_page: Callable[[], None] = lambda: None
) -> Verdict | None:
    """Recomputes a tenant's log, which may grow meanwhile; None if the tenant has none.

    `before_page` is called before each page is read; what it raises ends the verification.
    """
    bounds = await GET_BOUNDS.fetch_one(conn, tenant_id=tenant_id)
    while bounds is not None:
        floor = bounds.floor or 0
        verifier = ChainVerifier(floor, bounds.floor_digest)
        is_valid = await _verify_events(conn, tenant_id, verifier, bounds.sequence, before_page)
        is_valid = is_valid and verifier.verify_end(bounds.sequence, bounds.digest)
        latest = await GET_BOUNDS.fetch_one(conn, tenant_id=tenant_id)
        if is_valid or latest is None or latest.floor == bounds.floor:
            head = None if bounds.digest is None else bounds.digest.hex()
            return Verdict(bounds.sequence - floor, head, verifier.first_broken)
        bounds = latest  # Retention dropped its beginning meanwhile.
    return None


async def _verify_events(
    conn: Connection,
    tenant_id: str,
    verifier: ChainVerifier,
    until: int,
    before_page: Callable[[], None],
) -> bool:
    """All events that there are up to the sequence `until`."""
    after = verifier.sequence
    while after < until:
        before_page()
        limit = min(PAGE_SIZE, until - after)
        page = await queries.LIST_AFTER.fetch_all(
            conn, tenant_id=tenant_id, after=after, limit=limit
        )
        if not verifier.verify(event for event in page if event.sequence <= until):
            return False
        if not page:
            break
        after = page[-1].sequence
    return True
