"""The statements that count a tenant's events by their ordinals: see `pagination`.

Each exists for the whole log and for every column whose values are counted.
"""

from datetime import datetime
from typing import Any

from chassis.database import TIME
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    ColumnElement,
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
from sqlmodel import SQLModel

from audit.tables import CHECKPOINTS, DIMENSIONS, EVENTS, HEADS, LOGS, STEP

_TENANT = EVENTS.c.tenant_id == bindparam("tenant_id")
_OLDEST, _NEWEST = EVENTS.c.sequence.asc(), EVENTS.c.sequence.desc()
_ZERO: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")


class Extent(SQLModel):
    """The events of a value: at sequences in (bottom, top], with ordinals in (base, last]."""

    bottom: int
    base: int
    top: int | None
    last: int
    filed_at: datetime | None


class PrefixEnd(SQLModel):
    """The last event that was filed by the moment `name`, and the ordinal of the value there."""

    name: str
    sequence: int | None
    ordinal: int | None


class LateEvent(SQLModel):
    """An event that was created by the moment `name`, and filed after it."""

    name: str
    sequence: int
    ordinal: int


class Milestone(SQLModel):
    """An event whose ordinal is a multiple of STEP."""

    ordinal: int
    sequence: int
    filed_at: datetime


_moments = (
    func.unnest(bindparam("names", type_=ARRAY(Text)), bindparam("moments", type_=ARRAY(TIME)))
    .table_valued(column("name", Text), column("moment", TIME), name="moments")
    .render_derived()
)
_classes = (
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


def _ordinal(name: str | None) -> ColumnElement[int]:
    """What counts the events of a column's value, or of the whole log."""
    return EVENTS.c[f"{name}_ordinal" if name else "sequence"]


def _conditions(name: str | None) -> list[ColumnElement[bool]]:
    return [_TENANT, EVENTS.c[name] == bindparam("value")] if name else [_TENANT]


def _first(name: str | None, what: Any, order: Any, *conditions: Any) -> ScalarSelect[Any]:
    """Of the first event of a value in that order, one expression."""
    found = select(what).where(*_conditions(name), *conditions).order_by(order).limit(1)
    return found.scalar_subquery()


def _extent(name: str | None) -> Statement[Extent]:
    if name is None:
        # The ends of the whole log are known without a look into each month.
        floor = func.coalesce(CHECKPOINTS.c.sequence, _ZERO)
        head = (HEADS.c.sequence.label("top"), HEADS.c.sequence.label("last"), HEADS.c.filed_at)
        whole = select(floor.label("bottom"), floor.label("base"), *head).select_from(LOGS)
        mine = HEADS.c.tenant_id == bindparam("tenant_id")
        return Statement(whole.where(mine, HEADS.c.sequence > floor), Extent)
    ordinal = _ordinal(name)
    return Statement(
        select(
            (_first(name, EVENTS.c.sequence, _OLDEST) - _ONE).label("bottom"),
            (_first(name, ordinal, _OLDEST) - _ONE).label("base"),
            _first(name, EVENTS.c.sequence, _NEWEST).label("top"),
            _first(name, ordinal, _NEWEST).label("last"),
            null().label("filed_at"),
        ),
        Extent,
    )


def _prefix_ends(name: str | None) -> Statement[PrefixEnd]:
    ordinal: ColumnElement[int] = _prefix.c.sequence  # which counts the whole log
    if name is not None:
        inside = EVENTS.c.sequence <= _prefix.c.sequence
        ordinal = _first(name, _ordinal(name), _NEWEST, inside)
    columns = (_prefix.c.name, _prefix.c.sequence, ordinal.label("ordinal"))
    return Statement(select(*columns), PrefixEnd)


def _late_events(name: str | None) -> Statement[LateEvent]:
    late = (
        select(EVENTS.c.sequence, _ordinal(name).label("ordinal"), EVENTS.c[name or "tenant_id"])
        .where(
            _TENANT,
            EVENTS.c.lateness > _ZERO,
            EVENTS.c.lateness == _classes.c.lateness,
            EVENTS.c.filed_at > _moments.c.moment,
            EVENTS.c.filed_at < _moments.c.moment + _classes.c.span,
            EVENTS.c.created_at <= _moments.c.moment,
        )
        # A fence: the few late events of all values first, by their own index.
        .offset(_ZERO)
        .lateral("late_events")
    )
    return Statement(
        select(_moments.c.name, late.c.sequence, late.c.ordinal)
        .select_from(_moments.join(_classes, true()).join(late, true()))
        .where(late.c[name] == bindparam("value") if name else true()),
        LateEvent,
    )


def _milestone(name: str | None) -> Statement[Milestone]:
    ordinal = _ordinal(name)
    return Statement(
        select(ordinal.label("ordinal"), EVENTS.c.sequence, EVENTS.c.filed_at)
        .where(
            *_conditions(name),
            ordinal >= bindparam("ordinal"),
            # Literal, so that the planner knows the index of milestones by it.
            text(f"{ordinal.name} % {STEP} = 0") if name else true(),
        )
        .order_by(ordinal)
        .limit(1),
        Milestone,
    )


_COUNTED = (None, *DIMENSIONS)
"""The column whose value is counted; None for the whole log."""
GET_EXTENT = {name: _extent(name) for name in _COUNTED}
LIST_PREFIX_ENDS = {name: _prefix_ends(name) for name in _COUNTED}
LIST_LATE_EVENTS = {name: _late_events(name) for name in _COUNTED}
GET_MILESTONE = {name: _milestone(name) for name in _COUNTED}
