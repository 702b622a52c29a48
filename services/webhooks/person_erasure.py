"""Erases deleted users from stored events, so also from what is still to be delivered or replayed.

The request is one transaction with the event that says so. The steps are bounded and resumed; a
second round, after the longest attempt, erases what receivers answered meanwhile. The stream is
told which of its messages are about the person.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from chassis.database import ID, TIME, Connection, Pool
from chassis.statements import Statement
from contracts.context import Context
from contracts.lifecycle import PersonErased
from contracts.personal_data import erased_people, without_personal_data
from outbox.inbox import ReceivedEvent
from outbox.person_erasure import erase_from_dead_letters
from outbox.record import create_message, record
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from webhooks.tables import ATTEMPTS, ERASED_PEOPLE, EVENTS, ErasedPersonRow, EventRow

BATCH = 200
SECOND_ROUND = timedelta(seconds=30)
"""After twice the time of an attempt nobody writes an answer to what was sent before."""

_PERSON = (
    ERASED_PEOPLE.c.tenant_id == bindparam("tenant_id"),
    ERASED_PEOPLE.c.person_id == bindparam("person_id"),
)
_again = {"due_at": func.now(), "after_event_id": "", "rounds": 0}
REQUEST = Statement(
    insert(ERASED_PEOPLE)
    .from_select(
        [
            "tenant_id",
            "person_id",
            "deletion",
            "request_id",
            "traceparent",
            "after_event_id",
            "rounds",
            "due_at",
        ],
        select(
            bindparam("tenant_id", type_=ID),
            func.unnest(bindparam("people", type_=ARRAY(ID))),
            bindparam("deletion", type_=BigInteger),
            bindparam("request_id", type_=Text),
            bindparam("traceparent", type_=Text),
            literal_column("''"),
            literal_column("0"),
            func.now(),
        ),
    )
    .on_conflict_do_update(index_elements=list(ERASED_PEOPLE.primary_key), set_=_again)
)
# Across tenants: whose turn it is; no other replica works on the same person.
GET_DUE = Statement(
    select(*ERASED_PEOPLE.c)
    .where(ERASED_PEOPLE.c.due_at <= func.now())
    .order_by(ERASED_PEOPLE.c.due_at)
    .limit(literal_column("1"))
    .with_for_update(skip_locked=True),
    ErasedPersonRow,
)
LIST_EVENTS = Statement(
    select(EVENTS.c.id, EVENTS.c.created_at, EVENTS.c.payload, EVENTS.c.stream_sequence)
    .where(
        EVENTS.c.tenant_id == bindparam("tenant_id"),
        EVENTS.c.person_id == bindparam("person_id"),
        EVENTS.c.id > bindparam("after"),
    )
    .order_by(EVENTS.c.id)
    .limit(literal_column(str(BATCH))),
    EventRow,
)
_event = (
    func.unnest(
        bindparam("ids", type_=ARRAY(ID)),
        bindparam("times", type_=ARRAY(TIME)),
        bindparam("payloads", type_=ARRAY(Text)),
    )
    .table_valued(column("id", ID), column("created_at", TIME), column("payload", Text))
    .render_derived(name="erased")
)
_tenant_id: BindParameter[str] = bindparam("tenant_id", type_=ID)
UPDATE_EVENTS = Statement(
    update(EVENTS)
    .where(
        EVENTS.c.tenant_id == _tenant_id,
        EVENTS.c.id == _event.c.id,
        EVENTS.c.created_at == _event.c.created_at,
    )
    .values(payload=_event.c.payload)
)
# A delivery's id begins with the time of its event (`queue.enqueue.delivery_id`), which is also in
# the row: whichever webhook it was for.
_prefix = func.concat("dlv_", func.substr(_event.c.id, 5, 10))
UPDATE_ATTEMPTS = Statement(
    update(ATTEMPTS)
    .where(
        ATTEMPTS.c.tenant_id == _tenant_id,
        ATTEMPTS.c.delivery_id >= _prefix,
        ATTEMPTS.c.delivery_id < func.concat(_prefix, "~"),
        ATTEMPTS.c.created_at == _event.c.created_at,
    )
    .values(response_body=null())
)
MOVE_ON = Statement(
    update(ERASED_PEOPLE)
    .where(*_PERSON)
    .values(
        after_event_id=bindparam("after"),
        rounds=bindparam("new_rounds"),
        due_at=bindparam("new_due_at", type_=TIME),
    )
)


async def request_person_erasure(conn: Connection, deleted: ReceivedEvent) -> None:
    """In the transaction of the `user.deleted`."""
    context = deleted.context()
    await REQUEST.execute(
        conn,
        tenant_id=deleted.tenant_id,
        people=erased_people(deleted.event["data"]),
        deletion=deleted.stream_sequence,
        request_id=context.request_id,
        traceparent=context.traceparent,
    )


class PersonErasure:
    """`on_recorded` is called when the stream is to be told which messages to erase."""

    def __init__(self, pool: Pool, on_recorded: Callable[[], None]) -> None:
        self._pool = pool
        self._on_recorded = on_recorded
        self._steps = 0

    async def check(self) -> dict[str, Any]:
        """A number that changes with every person: whoever keeps the stream then looks."""
        return {"people": self._steps}

    async def run(self) -> None:
        """Does all steps that are due."""
        while await _step(self._pool):
            self._steps += 1
            self._on_recorded()


async def _step(pool: Pool) -> bool:
    """One transaction; returns whether there was anything to do."""
    async with pool.acquire() as conn, conn.transaction():
        person = await GET_DUE.fetch_one(conn)
        if person is None:
            return False
        key = {"tenant_id": person.tenant_id, "person_id": person.person_id}
        events = await LIST_EVENTS.fetch_all(conn, **key, after=person.after_event_id)
        if events:
            await _erase(conn, person, events)
        if len(events) == BATCH:
            after, rounds, due_at = events[-1].id, person.rounds, person.due_at
        else:
            if person.rounds == 0:
                await erase_from_dead_letters(conn, **key)
            after, rounds = "", person.rounds + 1
            due_at = datetime.now(UTC) + SECOND_ROUND if rounds == 1 else None
        await MOVE_ON.execute(conn, **key, after=after, new_rounds=rounds, new_due_at=due_at)
    return True


async def _erase(conn: Connection, person: ErasedPersonRow, events: list[EventRow]) -> None:
    payloads = [
        orjson.dumps(without_personal_data(orjson.loads(each.payload))).decode() for each in events
    ]
    values = {
        "tenant_id": person.tenant_id,
        "ids": [each.id for each in events],
        "times": [each.created_at for each in events],
        "payloads": payloads,
    }
    await UPDATE_EVENTS.execute(conn, **values)
    await UPDATE_ATTEMPTS.execute(conn, **values)
    messages = [each.stream_sequence for each in events if each.stream_sequence is not None]
    if person.rounds == 0 and person.deletion is not None and messages:
        context = Context(
            tenant_id=person.tenant_id,
            request_id=person.request_id,
            traceparent=person.traceparent,
        )
        message = PersonErased(deletion=person.deletion, messages=messages)
        entry = create_message(context, message, "webhooks", person.tenant_id, person.person_id)
        await record(conn, [entry])
