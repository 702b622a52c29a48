"""Verifies audit trails: the hash chains of tenants in the database, or of an exported file.

It has no time limit and needs constant memory; the trail may grow meanwhile. Digests are recomputed
here, not by the database.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from asyncpg import Connection
from audit.proof import GET_BOUNDS, LIST_MARKS, LogBounds, mark_shown
from audit.queries import LIST_AFTER
from audit.tables import EVENTS, HEADS
from audit.verify import ChainVerifier, Verdict, verify_export
from audit.verify_checkpoints import Comparison
from chassis.statements import Statement
from projects.tables import TENANTS
from sqlalchemy import bindparam, select

from tenantry.errors import CommandFailed, Misconfigured
from tenantry.operations.checkpoint_files import Evidence

PAGE_SIZE = 1000
_FAULTS = {
    "missing": "missing",
    "reordered": "not in its place",
    "rewritten": "not what was recorded",
}
# Of all tenants: this is the operator's command.
_TENANTS = Statement(select(HEADS.c.tenant_id).order_by(HEADS.c.tenant_id))
_LIVING = Statement(select(TENANTS.c.id).where(TENANTS.c.status != "deleting"))
_EVENT = Statement(
    select(EVENTS.c.id, EVENTS.c.action, EVENTS.c.created_at)
    .where(EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.sequence == bindparam("sequence"))
    .limit(1)
)


async def list_tenants(conn: Connection) -> list[str]:
    """Those that have a trail, and those of which only the tombstone is left."""
    return [row["tenant_id"] for row in await _TENANTS.fetch_all(conn)]


async def list_living(conn: Connection) -> set[str]:
    """The tenants that projects has, and that nobody has asked to delete."""
    return {row["id"] for row in await _LIVING.fetch_all(conn)}


async def verify_tenant(
    conn: Connection, tenant_id: str, living: Collection[str] | None
) -> dict[str, Any]:
    """`tenant_id, valid, length, floor, head, first_broken, marks`; see `_describe_broken`.

    `living` are the tenants that projects has, None if that is not known: a trail of one of them
    must be open, since a closed one takes no event.
    """
    bounds, verifier = await _verify_log(conn, tenant_id)
    marks = await LIST_MARKS.fetch_all(conn, tenant_id=tenant_id)
    broken, first_broken = verifier.first_broken, None
    if broken is None and bounds.is_closed and living is not None and tenant_id in living:
        broken = bounds.sequence + 1
    if broken is not None:
        event = await _EVENT.fetch_one(conn, tenant_id=tenant_id, sequence=broken)
        first_broken = _describe_broken(broken, event)
    return {
        "tenant_id": tenant_id,
        "valid": broken is None,
        "length": bounds.sequence - bounds.floor,
        "floor": bounds.floor,
        "head": None if bounds.digest is None else bounds.digest.hex(),
        "first_broken": first_broken,
        "marks": [mark_shown(mark) for mark in marks],
    }


async def _verify_log(conn: Connection, tenant_id: str) -> tuple[LogBounds, ChainVerifier]:
    bounds = await _get_bounds(conn, tenant_id)
    while True:
        verifier = ChainVerifier(bounds.floor, bounds.floor_digest)
        # Of an erased log only the head is left, and the mark that says so.
        if bounds.is_erased or await _verify_events(conn, tenant_id, verifier, bounds.sequence):
            if not bounds.is_erased:
                verifier.verify_end(bounds.sequence, bounds.digest)
            return bounds, verifier
        latest = await _get_bounds(conn, tenant_id)
        if latest.floor == bounds.floor and latest.is_erased == bounds.is_erased:
            return bounds, verifier
        bounds = latest  # Retention dropped its beginning meanwhile.


async def _get_bounds(conn: Connection, tenant_id: str) -> LogBounds:
    bounds = await GET_BOUNDS.fetch_one(conn, tenant_id=tenant_id)
    if bounds is None:
        raise CommandFailed(
            f"there is no trail of {tenant_id}",
            "Check the identifier (ten_…); `tenantry tenants list` shows all.",
            code="not_found",
        )
    return bounds


async def _verify_events(
    conn: Connection, tenant_id: str, verifier: ChainVerifier, until: int
) -> bool:
    """All events that there are up to the sequence `until`."""
    while (after := verifier.sequence) < until:
        limit = min(PAGE_SIZE, until - after)
        page = await LIST_AFTER.fetch_all(conn, tenant_id=tenant_id, after=after, limit=limit)
        if not verifier.verify(event for event in page if event.sequence <= until):
            return False
        if not page:
            break
    return True


def verify_file(path: Path, digest: str | None, evidence: Evidence | None) -> dict[str, Any]:
    """The verdict on an NDJSON export. `digest` is that before its oldest event."""
    before, inclusion = _read_digest(digest), None if evidence is None else evidence.inclusion
    if inclusion is not None:
        before = inclusion.previous
    compared = None if evidence is None else evidence.verifier()
    try:
        with path.open("rb") as file:
            lines = (line for line in file if line.strip())
            verdict = verify_export(lines, before, compared.add if compared else None)
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}", "Name a file that you may read."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Misconfigured(
            f"{path} is not a complete NDJSON export of an audit trail",
            "Make one with `tenantry audit export --output FILE` (CSV cannot be verified).",
        ) from None
    if not verdict.length:
        raise Misconfigured(
            f"{path} has no events", "Make an export without filters: every trail has events."
        )
    if inclusion is not None and inclusion.index != verdict.oldest - 1:
        raise Misconfigured(
            f"the proof of inclusion is of event {inclusion.index + 1}, and the export begins with "
            f"event {verdict.oldest}",
            "Get the proof of the oldest event of the export.",
        )
    broken, note = verdict.first_broken, None
    comparison = None if compared is None else compared.compare()
    if comparison is not None:
        broken, note = _doubt(verdict, comparison)
    first_broken = None if broken is None else _describe_broken(broken, _find_in_file(path, broken))
    return {
        "file": str(path),
        "valid": broken is None,
        "length": verdict.length,
        "oldest": verdict.oldest,
        "head": verdict.head,
        "first_broken": first_broken,
        "fault": None if broken is None else verdict.fault,
        "proven": None if comparison is None else comparison.proven,
        "note": note or _note(verdict, first_broken, before),
    }


def _doubt(verdict: Verdict, found: Comparison) -> tuple[int | None, str | None]:
    """The first event in doubt, and what the checkpoints say of it."""
    size, first, doubted = found.contradicted, verdict.first_broken, found.proven + 1
    if size is None:
        later = verdict.newest - found.proven
        rest = f"; the {later:,} after it are not signed yet" if later else ""
        return first, f"The first {found.proven:,} events are those that were signed{rest}."
    proven = f"The first {found.proven:,} are proven."
    if verdict.oldest > 1 and not found.complete:
        verdict.fault = "cut"
        return 1, (
            f"The events 1 to {verdict.oldest - 1:,} are missing: the beginning was cut. If "
            "retention dropped them, give --inclusion with the proof of event "
            f"{verdict.oldest:,}."
        )
    if first is not None and first <= size:
        fault = _FAULTS[verdict.fault or "rewritten"]
        return first, f"Event {first:,} is {fault}, of {size:,} that were signed. {proven}"
    if verdict.newest == found.proven:
        verdict.fault = "cut"
        return doubted, f"The end was cut: {size:,} events were signed. {proven}"
    if verdict.newest < size:
        verdict.fault = "cut"
        return doubted, (
            f"{size:,} events were signed, and there are {verdict.newest:,}: the end was cut, or "
            f"events from {doubted:,} on were removed and the chain was made anew. {proven}"
        )
    verdict.fault = "rewritten"
    return doubted, (
        f"The events from {doubted:,} to {size:,} are not those that were signed: some were "
        "changed, removed, inserted or put in another order, and the chain was made anew. "
        f"{proven}"
    )


def _note(
    verdict: Verdict, first_broken: dict[str, Any] | None, before: bytes | None
) -> str | None:
    """What a reader of the verdict must know: why it is broken, or how far the proof goes."""
    if first_broken is not None and first_broken["id"] is None:
        return (
            "An event is missing. An export with filters misses events and cannot be proven: make "
            "one without filters."
        )
    if first_broken is None and verdict.oldest > 1 and before is None:
        return (
            f"Nothing is proven of what came before event {verdict.oldest}: --digest compares "
            "with the one before."
        )
    return None


def _read_digest(digest: str | None) -> bytes | None:
    try:
        return None if digest is None else bytes.fromhex(digest)
    except ValueError:
        raise Misconfigured(f"{digest} is no digest", "Give it as 64 hexadecimal digits.") from None


def _find_in_file(path: Path, sequence: int) -> Any:
    import orjson

    with path.open("rb") as lines:
        events = (orjson.loads(line) for line in lines if line.strip())
        return next((event for event in events if event["sequence"] == sequence), None)


def _describe_broken(sequence: int, event: Any) -> dict[str, Any]:
    """The first event that is changed, missing or at a wrong place; without id when missing."""
    if event is None:
        return {"sequence": sequence, "id": None, "action": None, "created_at": None}
    created = event["created_at"]
    return {
        "sequence": sequence,
        "id": event["id"],
        "action": event["action"],
        "created_at": created if isinstance(created, str) else created.isoformat(),
    }
