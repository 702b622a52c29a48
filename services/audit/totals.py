"""How many events pass a filter and where the n-th of them stands, without counting them.

The log is in the order of `sequence`, in which `filed_at` never falls. For a moment T it is a
prefix, filed (and so created) by T, and a rest in which only stragglers were created by T: filed
after it, and found by their lateness. With the ordinals of the filtered value therefore

    created by T       = ordinal of the last one in the prefix + stragglers
    created in [S, E]  = created by E - created before S

which is exact in whatever order the events of several services arrive.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chassis.database import TIME, Connection
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    Interval,
    ScalarSelect,
    SmallInteger,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    null,
    select,
    text,
    true,
)

from audit.filters import Filters
from audit.log import LATE
from audit.tables import CHECKPOINTS, DIMENSIONS, EVENTS, HEADS, LOGS, STEP

_BEFORE = timedelta(microseconds=1)
_CLASSES = {"classes": range(1, len(LATE) + 1), "spans": LATE}
_TENANT = EVENTS.c.tenant_id == bindparam("tenant_id")

_moments = (
    func.unnest(bindparam("names", type_=ARRAY(Text)), bindparam("moments", type_=ARRAY(TIME)))
    .table_valued(column("name", Text), column("moment", TIME), name="moments")
    .render_derived()
)
_late = (
    func.unnest(
        bindparam("classes", type_=ARRAY(SmallInteger)), bindparam("spans", type_=ARRAY(Interval))
    )
    .table_valued(column("lateness", SmallInteger), column("span", Interval), name="late")
    .render_derived()
)
_prefix = select(
    _moments.c.name,
    select(EVENTS.c.sequence)
    .where(_TENANT, EVENTS.c.filed_at <= _moments.c.moment)
    .order_by(EVENTS.c.filed_at.desc(), EVENTS.c.sequence.desc())
    .limit(1)
    .scalar_subquery()
    .label("sequence"),
).subquery("prefix")


_floor = func.coalesce(CHECKPOINTS.c.sequence, literal_column("0"))
# The ends of the whole log are known without a look into each month.
_WHOLE_EXTENT = Statement(
    select(
        _floor.label("bottom"),
        _floor.label("base"),
        HEADS.c.sequence.label("top"),
        HEADS.c.sequence.label("last"),
        HEADS.c.filed_at,
    )
    .select_from(LOGS)
    .where(HEADS.c.tenant_id == bindparam("tenant_id"), HEADS.c.sequence > _floor)
)


class _Counted:
    """The statements about the events of one value of a column, or about the whole log."""

    def __init__(self, name: str | None) -> None:
        ordinal = EVENTS.c[f"{name}_ordinal" if name else "sequence"]
        where = [_TENANT, EVENTS.c[name] == bindparam("value")] if name else [_TENANT]

        def end(what: Any, order: Any, *more: Any) -> ScalarSelect[Any]:
            found = select(what).where(*where, *more).order_by(order).limit(1)
            return found.scalar_subquery()

        oldest, newest = EVENTS.c.sequence.asc(), EVENTS.c.sequence.desc()
        self.extent = _WHOLE_EXTENT
        if name is not None:
            self.extent = Statement(
                select(
                    (end(EVENTS.c.sequence, oldest) - literal_column("1")).label("bottom"),
                    (end(ordinal, oldest) - literal_column("1")).label("base"),
                    end(EVENTS.c.sequence, newest).label("top"),
                    end(ordinal, newest).label("last"),
                    null().label("filed_at"),
                )
            )
        inside = end(ordinal, newest, EVENTS.c.sequence <= _prefix.c.sequence)
        self.prefixes = Statement(
            select(_prefix.c.name, _prefix.c.sequence, inside.label("ordinal"))
        )
        straggles = (
            select(EVENTS.c.sequence, ordinal.label("ordinal"), EVENTS.c[name or "tenant_id"])
            .where(
                _TENANT,
                EVENTS.c.lateness > literal_column("0"),
                EVENTS.c.lateness == _late.c.lateness,
                EVENTS.c.filed_at > _moments.c.moment,
                EVENTS.c.filed_at < _moments.c.moment + _late.c.span,
                EVENTS.c.created_at <= _moments.c.moment,
            )
            # A fence: the few stragglers of all values first, by their own index.
            .offset(literal_column("0"))
            .lateral("straggles")
        )
        self.stragglers = Statement(
            select(_moments.c.name, straggles.c.sequence, straggles.c.ordinal)
            .select_from(_moments.join(_late, true()).join(straggles, true()))
            .where(straggles.c[name] == bindparam("value") if name else true())
        )
        self.milestone = Statement(
            select(ordinal.label("ordinal"), EVENTS.c.sequence, EVENTS.c.filed_at)
            .where(
                *where,
                ordinal >= bindparam("ordinal"),
                # Literal, so that the planner knows the index of milestones by it.
                text(f"{ordinal.name} % {STEP} = 0") if name else true(),
            )
            .order_by(ordinal)
            .limit(1)
        )


_COUNTED = {name: _Counted(name) for name in (None, *DIMENSIONS)}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a query's events lie: at sequences in (bottom, top], `total` of them if counted.

    `filed_at` is that of `top`, if these are all events there are. `last` is the ordinal at the end
    of the prefix of `until`, `after` how many stragglers come after that, and `strangers` the
    ordinals of those before it that were created before `since`.
    """

    top: int = 0
    filed_at: datetime | None = None
    bottom: int = 0
    last: int = 0
    after: int = 0
    strangers: tuple[int, ...] = ()
    total: int = 0


async def survey(conn: Connection, tenant_id: str, filters: Filters) -> Stretch:
    """Where the events of a filter lie, and how many they are if its ordinals tell."""
    counted, scope = _scope(tenant_id, filters)
    extent = await counted.extent.row(conn, **scope)
    if extent is None or extent["top"] is None:
        return Stretch()
    bottom, base, top, last, filed_at = extent.values()
    early: dict[int, int] = {}
    late: dict[int, int] = {}
    moments = _moments_of(filters)
    if moments:
        scope |= {"names": list(moments), "moments": list(moments.values())}
        prefixes = await counted.prefixes.rows(conn, **scope)
        found = await counted.stragglers.rows(conn, **scope, **_CLASSES)
        places = {row["name"]: (row["sequence"], row["ordinal"]) for row in prefixes}
        ends = (bottom, base), (top, last)
        if "until" in moments:
            top, last = _clipped(places["until"], *ends)
            late = _straggling(found, "until", ends[1][0])
        if "since" in moments:
            bottom, base = _clipped(places["since"], *ends)
            early = _straggling(found, "since", ends[1][0])
    after = late.keys() - early.keys()
    return Stretch(
        top=max(top, *after) if after else top,
        filed_at=None if moments or filters.equal else filed_at,
        bottom=bottom,
        last=last,
        after=len(after),
        strangers=tuple(early.values()),
        total=last + len(late) - base - len(early),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """The sequence from which to go down, and how many to skip; `filed_at` as of a `Stretch`."""

    top: int
    filed_at: datetime | None
    skip: int


async def place(
    conn: Connection, tenant_id: str, filters: Filters, stretch: Stretch, offset: int
) -> Place:
    """Where the n-th newest is found; `offset` is less than the total.

    At most a few dozen are skipped where ordinals tell the way.
    """
    first = Place(stretch.top, stretch.filed_at, offset)
    if not filters.is_counted or offset < stretch.after + STEP:
        return first
    counted, scope = _scope(tenant_id, filters)
    # Not below the wanted one: strangers only push that further down.
    ordinal = stretch.last - (offset - stretch.after)
    row = await counted.milestone.row(conn, **scope, ordinal=ordinal)
    if row is None or row["ordinal"] >= stretch.last:
        return first
    strangers = sum(row["ordinal"] < each <= stretch.last for each in stretch.strangers)
    above = stretch.after + (stretch.last - row["ordinal"]) - strangers
    filed_at = None if stretch.filed_at is None else row["filed_at"]
    return Place(row["sequence"], filed_at, offset - above)


def _scope(tenant_id: str, filters: Filters) -> tuple[_Counted, dict[str, Any]]:
    name = filters.dimension if filters.is_counted else None
    scope: dict[str, Any] = {"tenant_id": tenant_id}
    if name is not None:
        scope["value"] = filters.equal[name]
    return _COUNTED[name], scope


def _moments_of(filters: Filters) -> dict[str, datetime]:
    """Up to which moments the prefixes go: `since` itself belongs to what is wanted."""
    found = {}
    if filters.since is not None:
        found["since"] = filters.since - _BEFORE
    if filters.until is not None:
        found["until"] = filters.until
    return found


def _clipped(
    place: tuple[int | None, int | None], bottom: tuple[int, int], top: tuple[int, int]
) -> tuple[int, int]:
    """A prefix's end (sequence, ordinal) within what the first look saw of the log."""
    sequence, ordinal = place
    if sequence is None or sequence <= bottom[0]:
        return bottom
    if sequence >= top[0]:
        return top
    return sequence, bottom[1] if ordinal is None else ordinal


def _straggling(rows: list[Any], name: str, top: int) -> dict[int, int]:
    return {
        row["sequence"]: row["ordinal"]
        for row in rows
        if row["name"] == name and row["sequence"] <= top
    }
