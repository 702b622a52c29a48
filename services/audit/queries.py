"""The audit trail as its tenant reads it: one event, a page, the feed; newest first but the feed.

A page costs the same wherever it lies. Two to six statements, whatever the size of the log.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from chassis.cursors import cursor_binding, decode_cursor, encode_cursor
from chassis.database import TIME, Connection
from chassis.list_statements import MAX_COUNT
from chassis.listing import LAST_OFFSET
from chassis.request import Reply, Request, json_bytes, reply_to, stored_json
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.audit import AuditEvent, AuditQuery, FeedQuery
from contracts.models import Body
from contracts.problems import not_found
from contracts.search import SearchQuery
from orjson import Fragment
from sqlalchemy import Select, bindparam, func, literal_column, null, select, true

from audit import chain, pagination
from audit.chain import StoredEvent
from audit.filters import Filters, conditions, parse_filters
from audit.pagination import EventRange, PageStart
from audit.personal_parts import COLUMNS, FiledEvent, PersonalPart, list_personal_parts
from audit.tables import EVENTS, PERSONAL

MAX_REPLY_BYTES = 700_000
"""How many bytes of events a reply may have: NATS takes 1 MiB in one message."""

_FIELDS = tuple(AuditEvent.model_fields)
_values = attrgetter(*_FIELDS)
_NOT_READ = ("lateness", *(each.name for each in EVENTS.c if each.name.endswith("_ordinal")))
_COLUMNS = [each for each in EVENTS.c if each.name not in _NOT_READ]


def _with_personal_part(events: Select[Any], descending: bool | None = None) -> Select[Any]:
    """The events of a query, each with its personal part as far as it is still there.

    A single event has no order: with one, the planner would walk the whole log. Lateral, so that
    each part is looked up by its key in its month: joined, a long page would make the planner read
    and hash whole months of all tenants.
    """
    page = events.subquery("page")
    personal = (
        select(*(each.label(name) for name, each in COLUMNS.items()))
        .where(
            PERSONAL.c.tenant_id == page.c.tenant_id,
            PERSONAL.c.sequence == page.c.sequence,
            PERSONAL.c.filed_at == page.c.filed_at,
        )
        .limit(literal_column("1"))
        .lateral("personal_part")
    )
    found = select(*page.c, *personal.c).select_from(page.outerjoin(personal, true()))
    if descending is None:
        return found
    return found.order_by(page.c.sequence.desc() if descending else page.c.sequence)


GET = Statement(
    _with_personal_part(
        select(*_COLUMNS).where(
            EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.id == bindparam("id")
        )
    ),
    FiledEvent,
)
PAGE_AFTER = _with_personal_part(
    select(*_COLUMNS)
    .where(EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.sequence > bindparam("after"))
    .order_by(EVENTS.c.sequence)
    .limit(bindparam("limit")),
    descending=False,
)
LIST_AFTER = Statement(PAGE_AFTER, FiledEvent)


@lru_cache(maxsize=512)
def list_down(names: tuple[str, ...]) -> Statement[FiledEvent]:
    """Events under the named conditions, from `top` down to above `bottom`."""
    events = _in_range(names).order_by(EVENTS.c.sequence.desc())
    return Statement(_with_personal_part(events, descending=True), FiledEvent)


def _in_range(names: tuple[str, ...]) -> Select[Any]:
    return (
        select(*_COLUMNS)
        .where(
            *conditions(names),
            EVENTS.c.sequence <= bindparam("top"),
            EVENTS.c.sequence > bindparam("bottom"),
        )
        .limit(bindparam("limit"))
        .offset(bindparam("skip"))
    )


# The same order by the time of filing: month by month, so that all but one need no look. These are
# all events there are, so one range has their personal parts: half the cost of fifty look-ups.
LIST_DOWN_BY_MONTH = Statement(
    _in_range(())
    .add_columns(*(null().label(name) for name in COLUMNS))
    .where(EVENTS.c.filed_at <= bindparam("filed_at", type_=TIME))
    .order_by(EVENTS.c.filed_at.desc(), EVENTS.c.sequence.desc()),
    FiledEvent,
)


@lru_cache(maxsize=512)
def _count(names: tuple[str, ...]) -> Statement:
    """As many as there are, but no more than MAX_COUNT + 1."""
    some = (
        select(EVENTS.c.sequence)
        .where(
            *conditions(names),
            EVENTS.c.sequence <= bindparam("top"),
            EVENTS.c.sequence > bindparam("bottom"),
        )
        .limit(MAX_COUNT + 1)
        .subquery("some")
    )
    return Statement(select(func.count()).select_from(some))


def to_audit_event(event: StoredEvent, part: PersonalPart | None = None) -> dict[str, Any]:
    """The event as the API shows it; what was erased is null, or missing in the changes. `part` is
    its personal part if that was read by itself.
    """
    value = dict(zip(_FIELDS, _values(event), strict=True))
    if part is not None:
        value["ip_address"], value["user_agent"] = part.ip_address, part.user_agent
    erasable = chain.erasable_changes(part or event)
    value["changes"] = stored_json(chain.join_changes(event.changes, erasable))
    return value


@read_only()
async def get_event(conn: Connection, request: Request) -> Reply:
    event = await GET.fetch_one(conn, tenant_id=request.tenant, id=request.path["event_id"])
    if event is None:
        raise not_found()
    return reply_to(request, to_audit_event(event))


@read_only()
async def search_events(conn: Connection, request: Request[Body, SearchQuery]) -> Reply:
    """The event of an identifier."""
    event = await GET.fetch_one(conn, tenant_id=request.tenant, id=request.query.q)
    if event is None:
        return reply_to(request, {"results": []})
    found = {
        "type": "event",
        "id": event.id,
        "name": event.action,
        "detail": event.resource_id,
        "path": f"/v1/admin/audit/{event.id}",
    }
    return reply_to(request, {"results": [found]})


@read_only()
async def list_events(conn: Connection, request: Request[Body, AuditQuery]) -> Reply:
    query, binding = request.query, cursor_binding(request)
    number, below = query.page, list[Any]()
    if query.cursor is not None:
        number, below = decode_cursor(query.cursor, binding)
    events: list[FiledEvent] = []
    total, exact, is_whole = 0, True, False
    filters = parse_filters(query)
    if filters is not None:
        found = await pagination.get_range(conn, request.tenant, filters)
        total, exact = await _total(conn, request.tenant, filters, found)
        offset = 0 if below else (number - 1) * query.limit
        if offset < total or not exact:
            start = await pagination.get_page_start(conn, request.tenant, filters, found, offset)
            start = _below(start, below)
            is_whole = start.filed_at is not None
            events = await _page(conn, request, filters, found.bottom, start)
    more, events = len(events) > query.limit, events[: query.limit]
    cursor = None
    if more:
        last = [events[-1].sequence, events[-1].filed_at]
        cursor = encode_cursor([number + 1, last], binding)
    page = {
        "page": number,
        "limit": query.limit,
        "total": total,
        "total_exact": exact,
        "next_cursor": cursor,
    }
    parts = await list_personal_parts(conn, request.tenant, events) if is_whole else {}
    shown = [to_audit_event(event, parts.get(event.sequence)) for event in events]
    return reply_to(request, {"events": shown, "pagination": page})


def _below(start: PageStart, below: list[Any]) -> PageStart:
    """The start below the last event of the page before, if a cursor names that."""
    if not below or below[0] > start.top:
        return start
    filed_at = None if start.filed_at is None else datetime.fromisoformat(below[1])
    return PageStart(below[0] - 1, filed_at, start.skip)


async def _page(
    conn: Connection,
    request: Request[Body, AuditQuery],
    filters: Filters,
    bottom: int,
    start: PageStart,
) -> list[FiledEvent]:
    """One more than the page has, if there are more. Of the whole log without personal parts."""
    values = {
        "tenant_id": request.tenant,
        **filters.values(),
        "top": start.top,
        "bottom": bottom,
        "skip": min(start.skip, LAST_OFFSET),
        "limit": request.query.limit + 1,
    }
    if start.filed_at is not None:
        return await LIST_DOWN_BY_MONTH.fetch_all(conn, **values, filed_at=start.filed_at)
    return await list_down(filters.names).fetch_all(conn, **values)


async def _total(
    conn: Connection, tenant_id: str, filters: Filters, found: EventRange
) -> tuple[int, bool]:
    """By ordinals and exact, or for combinations by a count that stops at 1,000."""
    if filters.is_counted:
        return found.total, True
    counted = await _count(filters.names).fetch_value(
        conn, tenant_id=tenant_id, **filters.values(), top=found.top, bottom=found.bottom
    )
    return min(counted, MAX_COUNT), counted <= MAX_COUNT


@read_only()
async def get_feed(conn: Connection, request: Request[Body, FeedQuery]) -> Reply:
    """Events after a sequence, in that order; fewer than `limit` when they would not fit."""
    after, limit = request.query.after, request.query.limit
    events = await LIST_AFTER.fetch_all(
        conn, tenant_id=request.tenant, after=after, limit=limit + 1
    )
    encoded = take_fitting(json_bytes(to_audit_event(event)) for event in events[:limit])
    more = len(events) > len(encoded)
    last = events[len(encoded) - 1].sequence if encoded else after
    fragments = [Fragment(each) for each in encoded]
    return reply_to(request, {"events": fragments, "next_after": last, "has_more": more})


def take_fitting(parts: Iterable[bytes]) -> list[bytes]:
    """As many as fit into one reply, and one at least."""
    taken: list[bytes] = []
    size = 0
    for part in parts:
        size += len(part) + 1
        if taken and size > MAX_REPLY_BYTES:
            break
        taken.append(part)
    return taken
