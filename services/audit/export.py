"""The export: chunks of at most 1,000 events, newest first as the list, for the edge to stream.

Exports have connections of their own, and let others run between a few lines and the next.
NDJSON lines have what the chain is recomputed from; CSV is for spreadsheets, and its cells cannot
be taken for formulas.
"""

import asyncio
import csv
import io
from collections.abc import Callable, Iterable, Sequence

import orjson
from chassis.database import Connection, Pool
from chassis.listing import LAST_OFFSET
from chassis.request import Reply, Request, json_bytes
from chassis.unit_of_work import read_only
from contracts.audit import NEXT_HEADER, AuditEvent, ExportQuery
from contracts.models import Body

from audit import pagination, queries
from audit.chain import StoredEvent, bound_digest, erasable_changes, join_changes
from audit.filters import Filters, parse_filters
from audit.personal_parts import FiledEvent

CHUNK = 1000
YIELD_EVERY = 25
"""Lines: less than a millisecond."""
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}

_FIELDS = tuple(AuditEvent.model_fields)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@read_only(on_pool=True)
async def export_events(_: Pool, request: Request[Body, ExportQuery], exports: Pool) -> Reply:
    """One chunk, with the header that names where the next one begins."""
    query = request.query
    filters = parse_filters(query)
    # The connection is the place: until the chunk is made, no more exports run than there are.
    async with exports.acquire() as conn:
        events = [] if filters is None else await _list(conn, request, filters)
        parts = await _encode(events, to_ndjson if query.format == "ndjson" else to_csv)
    headers = {"Content-Type": MEDIA_TYPES[query.format]}
    if len(parts) < len(events):
        headers[NEXT_HEADER] = str(events[len(parts) - 1].sequence)
    if query.format == "csv" and query.before is None:
        parts.insert(0, _csv_line(_FIELDS))
    return Reply(b"".join(parts), headers=headers)


async def _list(
    conn: Connection, request: Request[Body, ExportQuery], filters: Filters
) -> list[FiledEvent]:
    """One more than a chunk has, if there are more."""
    found = await pagination.get_range(conn, request.tenant, filters)
    return await queries.list_down(filters.names).fetch_all(
        conn,
        tenant_id=request.tenant,
        **filters.values(),
        top=min(found.top, (request.query.before or LAST_OFFSET) - 1),
        bottom=found.bottom,
        skip=0,
        limit=CHUNK + 1,
    )


async def _encode(
    events: Sequence[FiledEvent], encode: Callable[[StoredEvent], bytes]
) -> list[bytes]:
    """The lines of a chunk, as many as fit into one reply."""
    parts: list[bytes] = []
    for start in range(0, min(len(events), CHUNK), YIELD_EVERY):
        await asyncio.sleep(0)
        parts += map(encode, events[start : min(start + YIELD_EVERY, CHUNK)])
    return queries.take_fitting(parts)


def to_ndjson(event: StoredEvent) -> bytes:
    """The event as JSON with its seal, in one line (`contracts.audit.ExportedEvent`)."""
    value = queries.to_audit_event(event) | {
        "tenant_id": event.tenant_id,
        "reason": event.reason,
        "traceparent": event.traceparent,
        "personal": sorted(orjson.loads(erasable_changes(event))),
        "seal": {
            "salt": _hex(event.salt),
            "commitment": _hex(event.commitment),
            "digest": _hex(event.digest),
            "subject": bound_digest(event.personal_changes),
            "subject_salt": _hex(event.subject_salt),
        },
    }
    return json_bytes(value) + b"\n"


def to_csv(event: StoredEvent) -> bytes:
    """The event as a line of CSV (RFC 4180), the changes as JSON in one cell."""
    value = queries.to_audit_event(event)
    value["changes"] = join_changes(event.changes, erasable_changes(event))
    value["created_at"] = orjson.loads(json_bytes(event.created_at))
    return _csv_line(value[name] for name in _FIELDS)


def _csv_line(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([_cell(value) for value in values])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    """What a spreadsheet would take for a formula gets an apostrophe (OWASP, CSV injection)."""
    cell = "" if value is None else str(value)
    return "'" + cell if cell.startswith(_FORMULA) else cell


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
