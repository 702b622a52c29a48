"""The export: chunks of at most 1,000 events, newest first as the list, for the edge to stream.

NDJSON lines carry what the chain is recomputed from; CSV is for spreadsheets, and its cells cannot
be taken for formulas.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any

import orjson
from chassis.database import Connection
from chassis.listing import LAST_OFFSET
from chassis.request import Reply, Request, json_bytes
from contracts.audit import NEXT_HEADER, AuditEvent, ExportQuery
from contracts.models import Body

from audit import chain, totals, trail
from audit.filters import understood

CHUNK = 1000
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}

_COLUMNS = tuple(AuditEvent.model_fields)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def export(conn: Connection, request: Request[Body, ExportQuery]) -> Reply:
    """One chunk, with the header that names where the next one begins."""
    query = request.query
    filters = understood(query)
    rows: list[Mapping[str, Any]] = []
    if filters is not None:
        stretch = await totals.survey(conn, request.tenant, filters)
        rows = await trail.down(filters.names).rows(
            conn,
            tenant_id=request.tenant,
            **filters.values(),
            top=min(stretch.top, (query.before or LAST_OFFSET) - 1),
            bottom=stretch.bottom,
            skip=0,
            limit=CHUNK + 1,
        )
    write = line if query.format == "ndjson" else cells
    parts = trail.fitting(write(row) for row in rows[:CHUNK])
    headers = {"Content-Type": MEDIA_TYPES[query.format]}
    if len(parts) < len(rows):
        headers[NEXT_HEADER] = str(rows[len(parts) - 1]["sequence"])
    if query.format == "csv" and query.before is None:
        parts.insert(0, _written(_COLUMNS))
    return Reply(b"".join(parts), headers=headers)


def line(row: Mapping[str, Any]) -> bytes:
    """The event as JSON with its seal, in one line (`contracts.audit.ExportedEvent`)."""
    names = sorted(orjson.loads(row["personal_changes"])) if row["personal_changes"] else []
    event = trail.shown(row) | {
        "tenant_id": row["tenant_id"],
        "reason": row["reason"],
        "traceparent": row["traceparent"],
        "personal": names,
        "seal": {
            "salt": _hex(row["salt"]),
            "commitment": _hex(row["commitment"]),
            "digest": _hex(row["digest"]),
        },
    }
    return json_bytes(event) + b"\n"


def cells(row: Mapping[str, Any]) -> bytes:
    """The event as a line of CSV (RFC 4180), the changes as JSON in one cell."""
    shown = trail.shown(row)
    shown["changes"] = chain.joined(row["changes"], row["personal_changes"])
    shown["created_at"] = orjson.loads(json_bytes(row["created_at"]))
    return _written(shown[name] for name in _COLUMNS)


def _written(values: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([_cell(value) for value in values])
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """What a spreadsheet would take for a formula gets an apostrophe (OWASP, CSV injection)."""
    cell = "" if value is None else str(value)
    return "'" + cell if cell.startswith(_FORMULA) else cell


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
