"""The outbox: an event is written in the transaction of the change that it describes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from asyncpg import Connection
from contracts.context import Context
from contracts.events import EventData
from contracts.ids import new_id
from contracts.lifecycle import LifecycleData
from contracts.personal_data import person_of
from sqlalchemy import CTE, Select, bindparam, insert, select

from outbox.tables import OUTBOX

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
_COLUMNS = (
    "event_id",
    "tenant_id",
    "subject",
    "payload",
    "ip_address",
    "user_agent",
    "person_id",
)
_INSERT = f"INSERT INTO outbox ({', '.join(_COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6, $7)"
_INSERT_MANY = (
    f"INSERT INTO outbox ({', '.join(_COLUMNS)}) SELECT * FROM unnest"
    "($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[])"
)
"""A fifth of the cost of a statement for each row."""


@dataclass(slots=True)
class OutboxEntry:
    """An event that is ready to be written to the outbox."""

    event_id: str
    tenant_id: str
    subject: str
    payload: bytes
    ip_address: str | None
    user_agent: str | None
    person_id: str | None = None

    def parameters(self) -> dict[str, Any]:
        """The values that a statement made by `with_outbox_entry` takes besides its own."""
        return {f"event_{name}": getattr(self, name) for name in _COLUMNS}


def create_entry(
    context: Context,
    kind: type[EventData],
    resource_id: str,
    data: Mapping[str, Any],
    *,
    tenant_id: str | None = None,
    time: datetime | None = None,
) -> OutboxEntry:
    """An event of the tenant: CloudEvents JSON with `data` as the kind describes it.

    `tenant_id` only where the caller's context has none (the operator); `time` in UTC.
    """
    tenant_id = tenant_id or context.tenant()
    head = (kind.service, kind.type, resource_id, tenant_id, time or datetime.now(UTC))
    return _entry(context, kind.subject(), head, data)


def create_message(
    context: Context,
    message: LifecycleData,
    service: str,
    tenant_id: str,
    resource_id: str | None = None,
) -> OutboxEntry:
    """A message of one service to the others; about the tenant itself without a `resource_id`."""
    head = (service, message.type, resource_id or tenant_id, tenant_id, datetime.now(UTC))
    return _entry(context, message.subject(service), head, message.model_dump())


def _entry(
    context: Context,
    subject: str,
    head: tuple[str, str, str, str, datetime],
    data: Mapping[str, Any],
) -> OutboxEntry:
    service, event_type, resource_id, tenant_id, time = head
    event_id = new_id("evt")
    payload = orjson.dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": f"tenantry/{service}",
            "type": event_type,
            "subject": resource_id,
            "time": time,
            "datacontenttype": "application/json",
            "tenantid": tenant_id,
            "actortype": context.actor_type,
            "actorid": context.actor_id,
            "requestid": context.request_id,
            "traceparent": context.traceparent,
            "data": data,
        },
        option=_OPTIONS,
    )
    return OutboxEntry(
        event_id,
        tenant_id,
        subject,
        payload,
        context.ip_address,
        context.user_agent,
        person_of(event_type, resource_id, data),
    )


async def record(conn: Connection, entries: Sequence[OutboxEntry]) -> None:
    """Writes the entries, in that order and in one round trip, in the caller's transaction."""
    rows = [tuple(getattr(each, name) for name in _COLUMNS) for each in entries]
    if len(rows) == 1:
        await conn.execute(_INSERT, *rows[0])
    elif rows:
        await conn.execute(_INSERT_MANY, *zip(*rows, strict=True))


def with_outbox_entry(changed: CTE) -> Select[Any]:
    """One statement for a change and its event: the event is written if the change touched a row.

    `changed` is an INSERT, UPDATE or DELETE ... RETURNING as a CTE. The statement returns the same
    rows, and takes `OutboxEntry.parameters()` besides its own.
    """
    columns = [OUTBOX.c[name] for name in _COLUMNS]
    values = [
        bindparam(f"event_{column.name}", type_=column.type).label(column.name)
        for column in columns
    ]
    written = (
        insert(OUTBOX)
        .from_select(list(_COLUMNS), select(*values).select_from(changed).limit(1))
        .cte("outbox_entry")
    )
    return select(changed).add_cte(written)
