"""Verifies audit trails: the hash chains of tenants in the database, or of an exported file.

It has no time limit and needs constant memory; the trail may grow meanwhile.
"""

from pathlib import Path
from typing import Any

from asyncpg import Connection
from audit.proof import verify_log
from audit.tables import EVENTS, HEADS
from audit.verify import verify_export
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
    verdict = await verify_log(conn, tenant_id)
    if verdict is None:
        raise CommandFailed(
            f"there is no trail of {tenant_id}",
            "Check the identifier (ten_…); `tenantry tenant list` shows all.",
            code="not_found",
        )
    broken, first_broken = verdict.first_broken, None
    if broken is not None:
        event = await _EVENT.fetch_one(conn, tenant_id=tenant_id, sequence=broken)
        first_broken = _describe_broken(broken, event)
    return {
        "tenant_id": tenant_id,
        "valid": broken is None,
        "length": verdict.length,
        "head": verdict.head,
        "first_broken": first_broken,
    }


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
