"""Verifies audit trails: the hash chains of tenants in the database, or of an exported file.

It has no time limit and needs constant memory; the trail may grow meanwhile.
"""

from pathlib import Path
from typing import Any

from asyncpg import Connection
from audit.proof import ENDS, PAGE
from audit.tables import EVENTS, HEADS
from audit.trail import FOLLOW
from audit.verify import Chain, verify_export
from chassis.statements import Statement
from sqlalchemy import bindparam, select

from tenantry.errors import CommandFailed, Misconfigured

# Of all tenants: this is the operator's command.
_TENANTS = Statement(
    select(HEADS.c.tenant_id).where(HEADS.c.closed_at.is_(None)).order_by(HEADS.c.tenant_id)
)
_EVENT = Statement(
    select(EVENTS.c.id, EVENTS.c.action, EVENTS.c.created_at)
    .where(EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.sequence == bindparam("sequence"))
    .limit(1)
)


async def list_tenants(conn: Connection) -> list[str]:
    """Those that have a trail and are not erased."""
    return [row["tenant_id"] for row in await _TENANTS.fetch_all(conn)]


async def verify_tenant(conn: Connection, tenant_id: str) -> dict[str, Any]:
    """`tenant_id, valid, length, head, first_broken`; see `_describe_broken`."""
    ends = await ENDS.fetch_one(conn, tenant_id=tenant_id)
    if ends is None:
        raise CommandFailed(
            f"there is no trail of {tenant_id}",
            "Check the identifier (ten_…); `tenantry tenant list` shows all.",
            code="not_found",
        )
    while True:
        chain = Chain(ends["floor"] or 0, ends["floor_digest"])
        valid = await _follow(conn, tenant_id, chain, ends["sequence"])
        valid = valid and chain.ends(ends["sequence"], ends["digest"])
        ends_now = await ENDS.fetch_one(conn, tenant_id=tenant_id)
        if valid or ends_now is None or ends_now["floor"] == ends["floor"]:
            break
        ends = ends_now  # Retention has removed the oldest events meanwhile.
    broken = (
        None if valid else await _EVENT.fetch_one(conn, tenant_id=tenant_id, sequence=chain.first_broken)
    )
    return {
        "tenant_id": tenant_id,
        "valid": valid,
        "length": ends["sequence"] - (ends["floor"] or 0),
        "head": ends["digest"].hex() if ends["digest"] else None,
        "first_broken": None if valid else _describe_broken(chain.first_broken, broken),
    }


async def _follow(conn: Connection, tenant_id: str, chain: Chain, until: int) -> bool:
    while chain.sequence < until:
        limit = min(PAGE, until - chain.sequence)
        rows = await FOLLOW.fetch_all(conn, tenant_id=tenant_id, after=chain.sequence, limit=limit)
        if not rows:
            break
        if not chain.follow(row for row in rows if row["sequence"] <= until):
            return False
    return True


def verify_file(path: Path, checkpoint: str | None) -> dict[str, Any]:
    """The verdict on an NDJSON export. `checkpoint` is the digest before its oldest event."""
    before = _read_digest(checkpoint)
    try:
        with path.open("rb") as lines:
            verdict = verify_export((line for line in lines if line.strip()), before)
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}", "Name a file that you may read."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Misconfigured(
            f"{path} is not a complete NDJSON export of an audit trail",
            "Make one with `tenantry audit export --output FILE` (CSV cannot be verified).",
        ) from None
    broken = verdict.first_broken
    return {
        "file": str(path),
        "valid": broken is None,
        "length": verdict.length,
        "head": verdict.head,
        "first_broken": None
        if broken is None
        else _describe_broken(broken, _find_in_file(path, broken)),
    }


def _read_digest(checkpoint: str | None) -> bytes | None:
    try:
        return None if checkpoint is None else bytes.fromhex(checkpoint)
    except ValueError:
        raise Misconfigured(
            f"{checkpoint} is no digest", "Give it as 64 hexadecimal digits."
        ) from None


def _find_in_file(path: Path, sequence: int) -> Any:
    import orjson

    with path.open("rb") as lines:
        events = (orjson.loads(line) for line in lines if line.strip())
        return next((event for event in events if event["sequence"] == sequence), None)


def _describe_broken(sequence: int | None, event: Any) -> dict[str, Any]:
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
