"""The trail as its tenant reads it: a page, one event, the feed; newest first but for the feed.

A page costs the same wherever it lies. Two to five statements, whatever the size of the log.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from chassis.database import TIME, Connection
from chassis.listing import CAP, LAST_OFFSET, cursor_binding, decode_cursor, encode_cursor
from chassis.request import Reply, Request, json_bytes, reply_to, stored_json
from chassis.statements import Statement
from contracts.audit import AuditEvent, AuditQuery, FeedQuery
from contracts.models import Body
from contracts.problems import not_found
from orjson import Fragment
from sqlalchemy import Select, bindparam, func, literal_column, select, true

from audit import chain, totals
from audit.filters import Filters, conditions, understood
from audit.tables import EVENTS, PERSONAL

ANSWER_BYTES = 700_000
"""What an answer may carry of events: NATS takes 1 MiB in one message."""

_FIELDS = tuple(AuditEvent.model_fields)
_fields = itemgetter(*_FIELDS)
_HIDDEN = ("lateness", *(each.name for each in EVENTS.c if each.name.endswith("_ordinal")))
_SHOWN = [each for each in EVENTS.c if each.name not in _HIDDEN]


def whole(part: Select[Any], descending: bool | None = None) -> Select[Any]:
    """The events of `part`, each with its personal part as far as it is still there.

    One event is asked for without an order: to have it, the planner would walk the whole log.
    Lateral, so that each is looked up by its key in its month: joined, a long page would make the
    planner read and hash whole months of everybody's.
    """
    page = part.subquery("page")
    personal = (
        select(
            PERSONAL.c.salt,
            PERSONAL.c.ip_address,
            PERSONAL.c.user_agent,
            PERSONAL.c.changes.label("personal_changes"),
        )
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


FIND = Statement(
    whole(
        select(*_SHOWN).where(
            EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.id == bindparam("id")
        )
    )
)
FOLLOW = Statement(
    whole(
        select(*_SHOWN)
        .where(EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.sequence > bindparam("after"))
        .order_by(EVENTS.c.sequence)
        .limit(bindparam("limit")),
        descending=False,
    )
)


@lru_cache(maxsize=512)
def down(names: tuple[str, ...]) -> Statement:
    """Events under the named conditions, from `top` down to above `bottom`."""
    return Statement(whole(_stretch(names).order_by(EVENTS.c.sequence.desc()), descending=True))


def _stretch(names: tuple[str, ...]) -> Select[Any]:
    return (
        select(*_SHOWN)
        .where(
            *conditions(names),
            EVENTS.c.sequence <= bindparam("top"),
            EVENTS.c.sequence > bindparam("bottom"),
        )
        .limit(bindparam("limit"))
        .offset(bindparam("skip"))
    )


# The same order, said by the time of filing: month by month, so that all but one need no look.
DOWN_THE_MONTHS = Statement(
    whole(
        _stretch(())
        .where(EVENTS.c.filed_at <= bindparam("filed_at", type_=TIME))
        .order_by(EVENTS.c.filed_at.desc(), EVENTS.c.sequence.desc()),
        descending=True,
    )
)


@lru_cache(maxsize=512)
def _count(names: tuple[str, ...]) -> Statement:
    """As many as there are, but no more than CAP + 1."""
    some = (
        select(EVENTS.c.sequence)
        .where(
            *conditions(names),
            EVENTS.c.sequence <= bindparam("top"),
            EVENTS.c.sequence > bindparam("bottom"),
        )
        .limit(CAP + 1)
        .subquery("some")
    )
    return Statement(select(func.count()).select_from(some))


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The event as the contract shows it; what was erased is null, or gone from the changes."""
    event = dict(zip(_FIELDS, _fields(row), strict=True))
    event["changes"] = stored_json(chain.joined(row["changes"], row["personal_changes"]))
    return event


async def find(conn: Connection, request: Request) -> Reply:
    row = await FIND.fetch_one(conn, tenant_id=request.tenant, id=request.path["event_id"])
    if row is None:
        raise not_found()
    return reply_to(request, shown(row))


async def find_all(conn: Connection, request: Request[Body, AuditQuery]) -> Reply:
    query, associated_data = request.query, cursor_binding(request)
    number, below = query.page, list[Any]()
    if query.cursor is not None:
        number, below = decode_cursor(query.cursor, associated_data)
    rows: list[Mapping[str, Any]] = []
    total, exact = 0, True
    filters = understood(query)
    if filters is not None:
        stretch = await totals.survey(conn, request.tenant, filters)
        total, exact = await _total(conn, request.tenant, filters, stretch)
        offset = 0 if below else (number - 1) * query.limit
        if offset < total or not exact:
            place = await totals.place(conn, request.tenant, filters, stretch, offset)
            rows = await _page(conn, request, filters, stretch.bottom, _clipped(place, below))
    more, rows = len(rows) > query.limit, rows[: query.limit]
    cursor = None
    if more:
        last = [rows[-1]["sequence"], rows[-1]["filed_at"]]
        cursor = encode_cursor([number + 1, last], associated_data)
    pagination = {
        "page": number,
        "limit": query.limit,
        "total": total,
        "total_exact": exact,
        "next_cursor": cursor,
    }
    return reply_to(request, {"events": [shown(row) for row in rows], "pagination": pagination})


def _clipped(place: totals.Place, below: list[Any]) -> totals.Place:
    """The place below the last event of the page before, if a cursor names that."""
    if not below or below[0] > place.top:
        return place
    filed_at = None if place.filed_at is None else datetime.fromisoformat(below[1])
    return totals.Place(below[0] - 1, filed_at, place.skip)


async def _page(
    conn: Connection,
    request: Request[Body, AuditQuery],
    filters: Filters,
    bottom: int,
    place: totals.Place,
) -> list[Mapping[str, Any]]:
    """One more than the page has, if there are more."""
    given = {
        "tenant_id": request.tenant,
        **filters.values(),
        "top": place.top,
        "bottom": bottom,
        "skip": min(place.skip, LAST_OFFSET),
        "limit": request.query.limit + 1,
    }
    if place.filed_at is not None:
        return await DOWN_THE_MONTHS.fetch_all(conn, **given, filed_at=place.filed_at)
    return await down(filters.names).rows(conn, **given)


async def _total(
    conn: Connection, tenant_id: str, filters: Filters, stretch: totals.Stretch
) -> tuple[int, bool]:
    """By ordinals and exact, or for combinations by a count that stops at 10,000."""
    if filters.is_counted:
        return stretch.total, True
    counted = await _count(filters.names).value(
        conn,
        tenant_id=tenant_id,
        **filters.values(),
        top=stretch.top,
        bottom=stretch.bottom,
    )
    return min(counted, CAP), counted <= CAP


async def feed(conn: Connection, request: Request[Body, FeedQuery]) -> Reply:
    """Events after a sequence, in that order; fewer than `limit` when they would not fit."""
    after, limit = request.query.after, request.query.limit
    rows = await FOLLOW.fetch_all(conn, tenant_id=request.tenant, after=after, limit=limit + 1)
    encoded = fitting(json_bytes(shown(row)) for row in rows[:limit])
    more = len(rows) > len(encoded)
    last = rows[len(encoded) - 1]["sequence"] if encoded else after
    events = [Fragment(each) for each in encoded]
    return reply_to(request, {"events": events, "next_after": last, "has_more": more})


def fitting(parts: Iterable[bytes]) -> list[bytes]:
    """As many as fit into one answer, and one at least."""
    found: list[bytes] = []
    size = 0
    for part in parts:
        size += len(part) + 1
        if found and size > ANSWER_BYTES:
            break
        found.append(part)
    return found
