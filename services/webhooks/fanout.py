"""From one event to a delivery for each webhook that wants it: one statement for a whole batch.

Every event is stored once, for all its deliveries and for replays. Deliveries of tenants with many
webhooks are left to steps (`fanout_steps`). The statement sees a webhook that is being deleted or
waits for it, so that nothing is queued for one that is gone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.statements import Statement
from contracts.ids import new_id
from contracts.personal_data import person_of
from outbox.inbox import ReceivedEvent
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Text,
    bindparam,
    column,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import TypeEngine

from webhooks.queue.direct import enqueue_leasing
from webhooks.queue.enqueue import QUEUE_SOURCE, create_deliveries, new_delivery
from webhooks.queue.event_filter import wants
from webhooks.queue.leased import LeasedDelivery, read_leased
from webhooks.tables import ERASED_PEOPLE, ERASURES, EVENTS, FANOUTS, QUEUE, WEBHOOKS

FEW_WEBHOOKS = 16
"""A batch of 256 events creates at most that many deliveries of each at once."""

_COLUMNS: dict[str, TypeEngine[Any]] = {
    "tenant_id": ID,
    "id": ID,
    "created_at": TIME,
    "type": ID,
    "actor_id": ID,
    "payload": Text(),
    "person_id": ID,
    "stream_sequence": BigInteger(),
}
_GIVEN = _COLUMNS | {"free": Integer()}

_given = (
    func.unnest(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _GIVEN.items()))
    .table_valued(*(column(name, kind) for name, kind in _GIVEN.items()), with_ordinality="number")
    .render_derived()
)
_event = (
    select(_given)
    .where(
        ~exists().where(ERASURES.c.tenant_id == _given.c.tenant_id),
        # Older events have no partition any more, and nobody waits for them.
        _given.c.created_at > func.now() - func.make_interval(0, 0, 0, 30),
    )
    .cte("event")
)
_stored = (
    insert(EVENTS)
    .from_select(list(_COLUMNS), select(*(_event.c[name] for name in _COLUMNS)))
    .on_conflict_do_nothing()
    .cte("stored")
)
# An event that comes after the erasure of its person is erased as well.
_late = (
    update(ERASED_PEOPLE)
    .where(
        ERASED_PEOPLE.c.tenant_id == _event.c.tenant_id,
        ERASED_PEOPLE.c.person_id == _event.c.person_id,
    )
    .values(due_at=func.now(), after_event_id="", rounds=0)
    .cte("late")
)
_tenant = select(_event.c.tenant_id).distinct().cte("tenant")
_one_too_many = (
    select(WEBHOOKS.c.id)
    .where(WEBHOOKS.c.tenant_id == _tenant.c.tenant_id, WEBHOOKS.c.status == "active")
    .offset(literal_column(str(FEW_WEBHOOKS)))
    .limit(literal_column("1"))
)
# Behind an event that waits, later ones wait too: the order holds.
_has_many = or_(exists(_one_too_many), exists().where(FANOUTS.c.tenant_id == _tenant.c.tenant_id))
_counted = select(_tenant.c.tenant_id, _has_many.label("has_many")).cte("counted")
_deferred = (
    insert(FANOUTS)
    .from_select(
        ["tenant_id", "event_id", "created_at"],
        select(_event.c.tenant_id, _event.c.id, _event.c.created_at)
        .join(_counted, _counted.c.tenant_id == _event.c.tenant_id)
        .where(_counted.c.has_many)
        .order_by(_event.c.number),
    )
    .cte("deferred")
)
_wanted = (
    select(*new_delivery(_event.c, WEBHOOKS.c.id, _event.c.created_at))
    .select_from(_event)
    .join(_counted, _counted.c.tenant_id == _event.c.tenant_id)
    .join(WEBHOOKS, WEBHOOKS.c.tenant_id == _event.c.tenant_id)
    .where(
        ~_counted.c.has_many,
        WEBHOOKS.c.status == "active",
        wants(WEBHOOKS.c, _event.c.type, _event.c.actor_id),
    )
    .with_for_update(of=WEBHOOKS, read=True, key_share=True)
    .cte("wanted")
)
_delivery = (
    create_deliveries(select(_wanted))
    .on_conflict_do_nothing()
    .returning(*QUEUE_SOURCE)
    .cte("delivery")
)
_queued = (
    enqueue_leasing(_delivery, _event)
    .returning(*(each for each in QUEUE.c if each.name not in ("state", "wake_at")))
    .cte("queued")
)
_leased = select(_queued).where(_queued.c.lease.is_not(None)).cte("leased")
_of_leased = (_event.c.tenant_id == _leased.c.tenant_id) & (_event.c.id == _leased.c.event_id)
# What is leased is sent after the commit, which then need not wait for the disk: `outbox.inbox`.
_commits_soon = (
    select(func.set_config("synchronous_commit", "off", true()).label("mode"))
    .select_from(_leased)
    .limit(literal_column("1"))
    .scalar_subquery()
)
# Across tenants: a batch has events of many, each joined to the webhooks of its own tenant.
FAN_OUT = Statement(
    read_leased(_leased, _event, _of_leased, is_direct=True)
    .where(_commits_soon.is_not(None))
    .add_cte(_stored, _deferred, _late),
    LeasedDelivery,
)


async def fan_out(
    conn: Connection, events: Sequence[ReceivedEvent], free: Mapping[str, int]
) -> list[LeasedDelivery]:
    """Stores the events and queues a delivery for each webhook that wants one, or leaves that to
    the steps of `fanout_steps.FanOut`.

    Returns those that are leased to this process, to be sent after the commit: of each tenant as
    many as `free` says.
    """
    return await FAN_OUT.fetch_all(
        conn,
        tenant_id=[each.tenant_id for each in events],
        id=[each.id for each in events],
        created_at=[datetime.fromisoformat(each.event["time"]) for each in events],
        type=[each.type for each in events],
        actor_id=[each.event["actorid"] for each in events],
        payload=[each.payload.decode() for each in events],
        person_id=[
            person_of(each.type, each.event["subject"], each.event["data"]) for each in events
        ],
        stream_sequence=[each.stream_sequence for each in events],
        free=[free.get(each.tenant_id, 0) for each in events],
        lease=new_id("lease"),
    )
