"""What a tenant gets of its Merkle tree: the checkpoint, its keys, and proofs by RFC 6962."""

import base64
from collections.abc import Sequence

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.unit_of_work import read_only
from contracts.audit import ConsistencyQuery, InclusionQuery
from contracts.models import Body
from contracts.problems import Problem, invalid, not_found

from audit import chain, merkle
from audit.checkpoints import GET_NEWEST, LIST_KEYS, signers_of
from audit.merkle import Range
from audit.proof import GET_BOUNDS, GET_DIGEST, NO_LOG, LogBounds
from audit.queries import GET
from audit.settings import AuditSettings
from audit.tree import MissingHashesError, Tree

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


@read_only()
async def get_checkpoint(conn: Connection, request: Request) -> Reply:
    newest = await GET_NEWEST.fetch_one(conn, tenant_id=request.tenant)
    if newest is None:
        raise _no_checkpoint()
    return Reply(newest.note.encode(), headers=dict(_TEXT))


@read_only()
async def get_checkpoint_keys(conn: Connection, request: Request, settings: AuditSettings) -> Reply:
    """Those that sign now, and those that have signed before."""
    keys = [str(signer.key) for signer in signers_of(settings, request.tenant)]
    stored = await LIST_KEYS.fetch_all(conn, tenant_id=request.tenant)
    keys += [row["key"] for row in stored if row["key"] not in keys]
    if not keys:
        raise _no_checkpoint()
    return Reply("".join(f"{key}\n" for key in keys).encode(), headers=dict(_TEXT))


@read_only()
async def get_inclusion(conn: Connection, request: Request[Body, InclusionQuery]) -> Reply:
    event = await GET.fetch_one(conn, tenant_id=request.tenant, id=request.path["event_id"])
    if event is None:
        raise not_found()
    bounds, size = await _bounds(conn, request.tenant), request.query.size
    if size is None:
        newest = await GET_NEWEST.fetch_one(conn, tenant_id=request.tenant)
        size = 0 if newest is None else newest.size
        if size < event.sequence:
            raise Problem(
                "checkpoint_pending",
                f"The newest checkpoint has {size} events, and this one is number "
                f"{event.sequence}. Ask again in a minute, or give a `size` from there on.",
            )
    _check_size("size", size, bounds)
    if size < event.sequence:
        message = f"must be at least {event.sequence}: the event is newer than that tree"
        raise invalid("size", message, "out_of_range")
    previous = bounds.floor_digest
    if event.sequence - 1 > bounds.floor:
        previous = await GET_DIGEST.fetch_value(
            conn, tenant_id=request.tenant, sequence=event.sequence - 1
        )
    index = event.sequence - 1
    proof = {
        "index": index,
        "size": size,
        "leaf": base64.b64encode(chain.entry_json(event, previous)).decode(),
        "hashes": await _hashes(conn, request.tenant, size, merkle.inclusion_ranges(index, size)),
    }
    return reply_to(request, proof)


@read_only()
async def get_consistency(conn: Connection, request: Request[Body, ConsistencyQuery]) -> Reply:
    first, size = request.query.from_, request.query.to
    _check_size("to", size, await _bounds(conn, request.tenant))
    if first > size:
        raise invalid("from", "must not be more than `to`", "out_of_range")
    ranges = merkle.consistency_ranges(first, size)
    hashes = await _hashes(conn, request.tenant, size, ranges)
    return reply_to(request, {"from": first, "to": size, "hashes": hashes})


async def _bounds(conn: Connection, tenant_id: str) -> LogBounds:
    return await GET_BOUNDS.fetch_one(conn, tenant_id=tenant_id) or NO_LOG


def _check_size(name: str, size: int, bounds: LogBounds) -> None:
    if size > bounds.sequence:
        message = f"must be at most {bounds.sequence}: so many events there are"
        raise invalid(name, message, "out_of_range")


async def _hashes(
    conn: Connection, tenant_id: str, size: int, ranges: Sequence[Range]
) -> list[str]:
    try:
        roots = await Tree(conn, tenant_id, size).roots(ranges)
    except MissingHashesError as error:
        raise Problem(
            "checkpoint_pending",
            f"The tree is not complete from event {error.sequence} on. After an upgrade it is "
            "made before the next checkpoint; else GET /v1/admin/audit/proof tells what is broken.",
        ) from None
    return [base64.b64encode(root).decode() for root in roots]


def _no_checkpoint() -> Problem:
    return Problem(
        "not_found",
        "There is no checkpoint yet. The first one follows within a minute of the first event.",
    )
