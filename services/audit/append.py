"""Appends events: numbers without gaps, ordinals, digests; all of it in one transaction.

Whoever holds the lock on a tenant's head is its only writer. Heads are locked in the order of their
tenants, so that two batches never wait for each other in a circle. A trigger checks that the events
continue their chains, and moves the heads: this role could not.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any

from chassis.database import ID, Connection
from chassis.rows import changed_row, new_row
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    Table,
    any_,
    bindparam,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from audit import chain
from audit.lateness import lateness
from audit.partitions import CREATE_PARTITIONS, month_of
from audit.tables import (
    COUNTERS,
    DIMENSIONS,
    EVENTS,
    HEADS,
    PERSONAL,
    CounterRow,
    EventRow,
    HeadRow,
    PersonalRow,
)


@dataclass(frozen=True)
class Entry:
    """An event that is to be appended. `changes` and `personal_changes` are canonical JSON.

    Its attributes are named as the columns of `events`; the last five are the personal part.
    """

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

    def without_personal_data(self) -> "Entry":
        return replace(
            self.without_personal_changes(), ip_address=None, user_agent=None, actor_user=None
        )

    def without_personal_changes(self) -> "Entry":
        return replace(self, personal_changes=chain.EMPTY, about_user=None)


@dataclass(frozen=True, slots=True)
class PersonalPart:
    """As the event is bound to it: `changes` are empty, or bind those of the subject."""

    salt: bytes
    changes: str
    subject_salt: bytes | None = None


# The statements of this module work on a batch, which has events of many tenants: each row carries
# its own.
_tenants = (
    func.unnest(bindparam("tenant_ids", type_=ARRAY(ID)))
    .table_valued(column("tenant_id", ID), name="tenants")
    .render_derived()
)
CREATE_HEADS = Statement(
    insert(HEADS)
    .from_select(["tenant_id", "sequence"], select(_tenants.c.tenant_id, literal(0)))
    .on_conflict_do_nothing()
)
LOCK_HEADS = Statement(
    select(*HEADS.c)
    .where(HEADS.c.tenant_id == any_(bindparam("tenant_ids", type_=ARRAY(ID))))
    .order_by(HEADS.c.tenant_id)
    .with_for_update(),
    HeadRow,
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
LIST_COUNTERS = Statement(
    select(*COUNTERS.c).join(
        _counted,
        (COUNTERS.c.tenant_id == _counted.c.tenant_id)
        & (COUNTERS.c.dimension == _counted.c.dimension)
        & (COUNTERS.c.value == _counted.c.value),
    ),
    CounterRow,
)

_counters = (
    func.unnest(*(bindparam(each.name, type_=ARRAY(each.type)) for each in COUNTERS.c))
    .table_valued(*(column(each.name, each.type) for each in COUNTERS.c), name="counters")
    .render_derived()
)
_upsert = insert(COUNTERS).from_select([each.name for each in COUNTERS.c], select(*_counters.c))
STORE_COUNTS = Statement(
    _upsert.on_conflict_do_update(
        index_elements=list(COUNTERS.primary_key), set_={"count": _upsert.excluded.count}
    )
)


async def _copy(conn: Connection, table: Table, rows: Sequence[object]) -> None:
    """For asyncpg half the cost of an INSERT from arrays, of which it looks at each value twice."""
    if not rows:
        return
    names = [each.name for each in table.c]
    records = map(itemgetter(*names), map(vars, rows))
    await conn.copy_records_to_table(table.name, records=records, columns=names)


async def lock_heads(conn: Connection, tenants: Iterable[str]) -> dict[str, HeadRow]:
    """The heads of the tenants, created if missing, locked until the transaction ends."""
    tenant_ids = sorted(tenants)
    heads = await LOCK_HEADS.fetch_all(conn, tenant_ids=tenant_ids)
    if len(heads) < len(tenant_ids):
        await CREATE_HEADS.execute(conn, tenant_ids=tenant_ids)
        heads = await LOCK_HEADS.fetch_all(conn, tenant_ids=tenant_ids)
    return {head.tenant_id: changed_row(head) for head in heads}


async def append(conn: Connection, heads: Mapping[str, HeadRow], entries: Sequence[Entry]) -> None:
    """Writes the entries in their order. The caller has locked the heads, which move in step."""
    counts = await _get_counts(conn, entries)
    existing = _existing_months(heads.values())
    events, personal = [], []
    for entry in entries:
        part = _personal_part(entry) if entry.is_personal else None
        event = _chain(heads[entry.tenant_id], entry, part, counts)
        events.append(event)
        if part is not None:
            personal.append(_personal_row(entry, event, part))
    missing = {month_of(event.filed_at) for event in events} - existing
    if missing:
        await CREATE_PARTITIONS.fetch_value(conn, months=sorted(missing))
    await _copy(conn, EVENTS, events)
    await _copy(conn, PERSONAL, personal)
    keys = sorted(counts)
    tenant_ids, dimensions, values = zip(*keys, strict=True)
    await STORE_COUNTS.execute(
        conn,
        tenant_id=tenant_ids,
        dimension=dimensions,
        value=values,
        count=[counts[key] for key in keys],
    )


def _existing_months(heads: Iterable[HeadRow]) -> set[date]:
    """The present month, if one of the logs ends in it: so it has its partition, and it is never
    dropped before it is over.
    """
    months = {month_of(head.filed_at) for head in heads if head.filed_at is not None}
    return months & {month_of(datetime.now(UTC))}


_ORDINALS = tuple(f"{name}_ordinal" for name in DIMENSIONS)
_CounterKey = tuple[str, str, str]


def _counter_keys(entry: Entry) -> dict[str, _CounterKey]:
    values = {name: getattr(entry, name) for name in DIMENSIONS}
    return {
        name: (entry.tenant_id, name, value) for name, value in values.items() if value is not None
    }


async def _get_counts(conn: Connection, entries: Sequence[Entry]) -> dict[_CounterKey, int]:
    """How many events there are of each value that the entries have, before them."""
    keys = sorted({key for entry in entries for key in _counter_keys(entry).values()})
    tenant_ids, dimensions, values = zip(*keys, strict=True)
    rows = await LIST_COUNTERS.fetch_all(
        conn, tenant_ids=tenant_ids, dimensions=dimensions, values=values
    )
    known = {(row.tenant_id, row.dimension, row.value): row.count for row in rows}
    return {key: known.get(key, 0) for key in keys}


def _personal_part(entry: Entry) -> PersonalPart:
    salt = os.urandom(chain.SALT_BYTES)
    if entry.personal_changes == chain.EMPTY:
        return PersonalPart(salt, chain.EMPTY)
    subject_salt = os.urandom(chain.SALT_BYTES)
    changes = chain.bind_subject(subject_salt, entry.personal_changes)
    return PersonalPart(salt, changes, subject_salt)


def _chain(
    head: HeadRow, entry: Entry, part: PersonalPart | None, counts: dict[_CounterKey, int]
) -> EventRow:
    """The entry numbered and chained; the head and the counts move on to it."""
    head.sequence += 1
    head.filed_at = filed_at = max(entry.created_at, head.filed_at or entry.created_at)
    ordinals: dict[str, Any] = dict.fromkeys(_ORDINALS)
    for name, key in _counter_keys(entry).items():
        counts[key] += 1
        ordinals[f"{name}_ordinal"] = counts[key]
    commitment = None
    if part is not None:
        commitment = chain.commitment(part.salt, part.changes, entry.ip_address, entry.user_agent)
    event = new_row(
        EventRow,
        **vars(entry),
        **ordinals,
        sequence=head.sequence,
        filed_at=filed_at,
        commitment=commitment,
        lateness=lateness(entry.created_at, filed_at),
    )
    head.digest = event.digest = chain.digest(event, head.digest)
    return event


def _personal_row(entry: Entry, event: EventRow, part: PersonalPart) -> PersonalRow:
    has_subject = part.subject_salt is not None
    return new_row(
        PersonalRow,
        tenant_id=event.tenant_id,
        sequence=event.sequence,
        filed_at=event.filed_at,
        salt=part.salt,
        ip_address=entry.ip_address,
        user_agent=entry.user_agent,
        changes=part.changes,
        actor_user=entry.actor_user,
        about_user=entry.about_user if has_subject else None,
        subject_salt=part.subject_salt,
        subject_changes=entry.personal_changes if has_subject else None,
    )
