"""How many events pass a filter and where the n-th of them is, without counting them.

The log is in the order of `sequence`, in which `filed_at` never falls. For a moment T it is a
prefix, filed (and so created) by T, and a rest in which only late events were created by T: filed
after it, and found by their lateness. With the ordinals of the filtered value therefore

    created by T       = ordinal of the last one in the prefix + late events
    created in [S, E]  = created by E - created before S

which is exact in whatever order the events of several services arrive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chassis.database import Connection

from audit.filters import Filters
from audit.lateness import LATENESS_CLASSES
from audit.ordinals import (
    GET_EXTENT,
    GET_MILESTONE,
    LIST_LATE_EVENTS,
    LIST_PREFIX_ENDS,
    LateEvent,
    PrefixEnd,
)
from audit.tables import STEP

_BEFORE = timedelta(microseconds=1)
_CLASSES = {"classes": range(1, len(LATENESS_CLASSES) + 1), "spans": LATENESS_CLASSES}


@dataclass(frozen=True, slots=True)
class EventRange:
    """Where a query's events are: at sequences in (bottom, top], `total` of them if counted.

    `filed_at` is that of `top`, if these are all events there are. `last` is the ordinal at the end
    of the prefix of `until`, `late_count` how many late events come after that, and `too_early` the
    ordinals of those before it that were created before `since`.
    """

    top: int = 0
    filed_at: datetime | None = None
    bottom: int = 0
    last: int = 0
    late_count: int = 0
    too_early: tuple[int, ...] = ()
    total: int = 0


async def get_range(conn: Connection, tenant_id: str, filters: Filters) -> EventRange:
    """Where the events of a filter are, and how many there are if its ordinals tell."""
    name, scope = _scope(tenant_id, filters)
    extent = await GET_EXTENT[name].fetch_one(conn, **scope)
    if extent is None or extent.top is None:
        return EventRange()
    begin, end = (extent.bottom, extent.base), (extent.top, extent.last)
    (bottom, base), (top, last) = begin, end
    early: dict[int, int] = {}
    late: dict[int, int] = {}
    moments = _moments_of(filters)
    if moments:
        scope |= {"names": list(moments), "moments": list(moments.values())}
        prefix_ends = await LIST_PREFIX_ENDS[name].fetch_all(conn, **scope)
        late_events = await LIST_LATE_EVENTS[name].fetch_all(conn, **scope, **_CLASSES)
        ends = {each.name: _clip(each, begin, end) for each in prefix_ends}
        if "until" in moments:
            top, last = ends["until"]
            late = _ordinals_of(late_events, "until", end[0])
        if "since" in moments:
            bottom, base = ends["since"]
            early = _ordinals_of(late_events, "since", end[0])
    after = late.keys() - early.keys()
    return EventRange(
        top=max(top, *after) if after else top,
        filed_at=None if moments or filters.equal else extent.filed_at,
        bottom=bottom,
        last=last,
        late_count=len(after),
        too_early=tuple(early.values()),
        total=last + len(late) - base - len(early),
    )


async def count_created_before(
    conn: Connection, tenant_id: str, moments: Sequence[datetime]
) -> list[int]:
    """The number of events that were created before each moment, of the whole log."""
    name, scope = None, {"tenant_id": tenant_id}
    extent = await GET_EXTENT[name].fetch_one(conn, **scope)
    if extent is None or extent.top is None:
        return [0] * len(moments)
    names = [str(number) for number in range(len(moments))]
    values = {**scope, "names": names, "moments": [each - _BEFORE for each in moments]}
    prefix_ends = await LIST_PREFIX_ENDS[name].fetch_all(conn, **values)
    late_events = await LIST_LATE_EVENTS[name].fetch_all(conn, **values, **_CLASSES)
    begin, end = (extent.bottom, extent.base), (extent.top, extent.last)
    ends = {each.name: _clip(each, begin, end)[1] for each in prefix_ends}
    return [ends[each] + len(_ordinals_of(late_events, each, extent.top)) for each in names]


@dataclass(frozen=True, slots=True)
class PageStart:
    """The sequence from which a page goes down, and how many events to skip.

    `filed_at` is as of an `EventRange`.
    """

    top: int
    filed_at: datetime | None
    skip: int


async def get_page_start(
    conn: Connection, tenant_id: str, filters: Filters, found: EventRange, offset: int
) -> PageStart:
    """Where the n-th newest event is found; `offset` is less than the total.

    At most a few dozen are skipped where ordinals tell the way.
    """
    first = PageStart(found.top, found.filed_at, offset)
    if not filters.is_counted or offset < found.late_count + STEP:
        return first
    name, scope = _scope(tenant_id, filters)
    # Not below the wanted one: events that are too early only push that further down.
    ordinal = found.last - (offset - found.late_count)
    milestone = await GET_MILESTONE[name].fetch_one(conn, **scope, ordinal=ordinal)
    if milestone is None or milestone.ordinal >= found.last:
        return first
    too_early = sum(milestone.ordinal < each <= found.last for each in found.too_early)
    above = found.late_count + (found.last - milestone.ordinal) - too_early
    filed_at = None if found.filed_at is None else milestone.filed_at
    return PageStart(milestone.sequence, filed_at, offset - above)


def _scope(tenant_id: str, filters: Filters) -> tuple[str | None, dict[str, Any]]:
    """The column whose value is counted, and the parameters of its statements."""
    name = filters.dimension if filters.is_counted else None
    scope: dict[str, Any] = {"tenant_id": tenant_id}
    if name is not None:
        scope["value"] = filters.equal[name]
    return name, scope


def _moments_of(filters: Filters) -> dict[str, datetime]:
    """Up to which moments the prefixes go: an event at `since` itself is wanted."""
    found = {}
    if filters.since is not None:
        found["since"] = filters.since - _BEFORE
    if filters.until is not None:
        found["until"] = filters.until
    return found


def _clip(place: PrefixEnd, begin: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    """A prefix's end (sequence, ordinal) within the extent that was read before it."""
    if place.sequence is None or place.sequence <= begin[0]:
        return begin
    if place.sequence >= end[0]:
        return end
    return place.sequence, begin[1] if place.ordinal is None else place.ordinal


def _ordinals_of(events: Sequence[LateEvent], name: str, top: int) -> dict[int, int]:
    """By sequence."""
    return {
        event.sequence: event.ordinal
        for event in events
        if event.name == name and event.sequence <= top
    }
