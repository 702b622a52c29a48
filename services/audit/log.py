"""Appending: numbers without gaps, ordinals, digests, and everything written by one statement.

Whoever holds the lock on a tenant's head is its only writer. Heads are locked in the order of their
tenants, so that two batches never wait for each other in a circle.
"""

import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from chassis.database import ID, Connection
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    Date,
    Table,
    TableValuedAlias,
    any_,
    bindparam,
    column,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from audit import chain
from audit.tables import COUNTERS, DIMENSIONS, EVENTS, HEADS, PERSONAL

LATE = (*(timedelta(seconds=8**power) for power in range(12)), timedelta(days=3_650_000))
"""Classes of lateness: 1 s, 8 s, 64 s ... With them the events that straddle a moment are found by
a probe for each class, however late the latest event ever was."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to be appended. `changes` and `personal_changes` are canonical JSON."""

    tenant_id: str
    id: str
    action: str
    resource_type: str
    resource_id: str
    actor_type: str
    actor_id: str | None
    request_id: str
    traceparent: str
    reason: str | None
    changes: str
    created_at: datetime
    ip_address: str | None
    user_agent: str | None
    personal_changes: str
    actor_user: str | None
    about_user: str | None

    @property
    def is_personal(self) -> bool:
        """Whether there is anything to erase one day."""
        return bool(self.ip_address or self.user_agent or self.personal_changes != chain.EMPTY)

    def impersonal(self) -> "Entry":
        return replace(self, ip_address=None, user_agent=None, personal_changes=chain.EMPTY)


@dataclass(slots=True)
class Head:
    """Where a tenant's log stands."""

    tenant_id: str
    sequence: int
    digest: bytes | None
    filed_at: datetime | None
    closed_at: datetime | None


def _given(table: Table, prefix: str) -> TableValuedAlias:
    """Rows of a table as one array for each column, named with a prefix."""
    arrays = [bindparam(f"{prefix}_{each.name}", type_=ARRAY(each.type)) for each in table.c]
    columns = [column(each.name, each.type) for each in table.c]
    return func.unnest(*arrays).table_valued(*columns, name=prefix).render_derived()


def _arrays(table: Table, prefix: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {f"{prefix}_{each.name}": [row[each.name] for row in rows] for each in table.c}


# The statements of this module work on a batch, which has events of many tenants: each row carries
# its own.
_tenants = (
    func.unnest(bindparam("tenant_ids", type_=ARRAY(ID)))
    .table_valued(column("tenant_id", ID), name="tenants")
    .render_derived()
)
OPEN = Statement(
    insert(HEADS)
    .from_select(["tenant_id", "sequence"], select(_tenants.c.tenant_id, literal(0)))
    .on_conflict_do_nothing()
)
LOCK = Statement(
    select(*HEADS.c)
    .where(HEADS.c.tenant_id == any_(bindparam("tenant_ids", type_=ARRAY(ID))))
    .order_by(HEADS.c.tenant_id)
    .with_for_update()
)
_counted = (
    func.unnest(
        bindparam("tenant_ids", type_=ARRAY(ID)),
        bindparam("dimensions", type_=ARRAY(ID)),
        bindparam("values", type_=ARRAY(ID)),
    )
    .table_valued(
        column("tenant_id", ID), column("dimension", ID), column("value", ID), name="counted"
    )
    .render_derived()
)
COUNTS = Statement(
    select(*COUNTERS.c).join(
        _counted,
        (COUNTERS.c.tenant_id == _counted.c.tenant_id)
        & (COUNTERS.c.dimension == _counted.c.dimension)
        & (COUNTERS.c.value == _counted.c.value),
    )
)
MAKE_PARTITIONS = Statement(select(func.make_partitions(bindparam("months", type_=ARRAY(Date)))))

_events = _given(EVENTS, "event")
_personal = _given(PERSONAL, "personal")
_counters = _given(COUNTERS, "counter")
_heads = _given(HEADS, "head")
_names = [each.name for each in EVENTS.c]
_upsert = insert(COUNTERS).from_select([each.name for each in COUNTERS.c], select(*_counters.c))
WRITE = Statement(
    update(HEADS)
    .where(HEADS.c.tenant_id == _heads.c.tenant_id)
    .values(
        sequence=_heads.c.sequence,
        digest=_heads.c.digest,
        filed_at=_heads.c.filed_at,
    )
    .add_cte(
        insert(EVENTS).from_select(_names, select(*_events.c)).cte("events_written"),
        insert(PERSONAL)
        .from_select([each.name for each in PERSONAL.c], select(*_personal.c))
        .cte("personal_written"),
        _upsert.on_conflict_do_update(
            index_elements=list(COUNTERS.primary_key), set_={"count": _upsert.excluded.count}
        ).cte("counters_written"),
    )
)


async def lock(conn: Connection, tenants: Iterable[str]) -> dict[str, Head]:
    """The heads of the tenants, made where there is none, locked until the transaction ends."""
    tenant_ids = sorted(tenants)
    await OPEN.execute(conn, tenant_ids=tenant_ids)
    rows = await LOCK.fetch_all(conn, tenant_ids=tenant_ids)
    return {row["tenant_id"]: Head(*row.values()) for row in rows}


async def append(conn: Connection, heads: Mapping[str, Head], entries: Sequence[Entry]) -> None:
    """Writes the entries in their order; moves the heads, which the caller has locked."""
    counts = await _counts(conn, entries)
    salts = os.urandom(chain.SALT_BYTES * len(entries))
    rows, personal = [], []
    for number, entry in enumerate(entries):
        salt = salts[number * chain.SALT_BYTES :][: chain.SALT_BYTES]
        row = _row(heads[entry.tenant_id], entry, salt, counts)
        rows.append(row)
        if entry.is_personal:
            personal.append(_personal_row(entry, row, salt))
    moved = [asdict(heads[tenant_id]) for tenant_id in sorted({row["tenant_id"] for row in rows})]
    counters = [
        {"tenant_id": tenant_id, "dimension": dimension, "value": value, "count": count}
        for (tenant_id, dimension, value), count in sorted(counts.items())
    ]
    await MAKE_PARTITIONS.fetch_value(
        conn, months=sorted({month_of(row["filed_at"]) for row in rows})
    )
    await WRITE.execute(
        conn,
        **_arrays(EVENTS, "event", rows),
        **_arrays(PERSONAL, "personal", personal),
        **_arrays(COUNTERS, "counter", counters),
        **_arrays(HEADS, "head", moved),
    )


_Key = tuple[str, str, str]


def _keys(entry: Entry) -> dict[str, _Key]:
    values = {name: getattr(entry, name) for name in DIMENSIONS}
    return {
        name: (entry.tenant_id, name, value) for name, value in values.items() if value is not None
    }


async def _counts(conn: Connection, entries: Sequence[Entry]) -> dict[_Key, int]:
    """How many there are of each value that the entries have, before them."""
    keys = sorted({key for entry in entries for key in _keys(entry).values()})
    tenant_ids, dimensions, values = zip(*keys, strict=True)
    rows = await COUNTS.fetch_all(conn, tenant_ids=tenant_ids, dimensions=dimensions, values=values)
    known = {(row["tenant_id"], row["dimension"], row["value"]): row["count"] for row in rows}
    return {key: known.get(key, 0) for key in keys}


def _row(head: Head, entry: Entry, salt: bytes, counts: dict[_Key, int]) -> dict[str, Any]:
    """The entry numbered and chained; the head and the counts move on to it."""
    head.sequence += 1
    head.filed_at = max(entry.created_at, head.filed_at or entry.created_at)
    row = {
        **{each.name: getattr(entry, each.name, None) for each in EVENTS.c},
        "sequence": head.sequence,
        "filed_at": head.filed_at,
        "commitment": None,
        "lateness": lateness(entry.created_at, head.filed_at),
    }
    if entry.is_personal:
        row["commitment"] = chain.commitment(
            salt, entry.personal_changes, entry.ip_address, entry.user_agent
        )
    for name, key in _keys(entry).items():
        counts[key] += 1
        row[f"{name}_ordinal"] = counts[key]
    head.digest = row["digest"] = chain.digest(row, head.digest)
    return row


def _personal_row(entry: Entry, row: Mapping[str, Any], salt: bytes) -> dict[str, Any]:
    return {
        **row,
        "salt": salt,
        "ip_address": entry.ip_address,
        "user_agent": entry.user_agent,
        "changes": entry.personal_changes,
        "actor_user": entry.actor_user,
        "about_user": entry.about_user,
    }


def lateness(created_at: datetime, filed_at: datetime) -> int:
    """The class of the delay: 0 for none, n for less than LATE[n - 1]."""
    return 0 if created_at == filed_at else bisect_right(LATE, filed_at - created_at) + 1


def month_of(moment: datetime) -> date:
    """The first day of its month, which names its partition."""
    return moment.date().replace(day=1)
