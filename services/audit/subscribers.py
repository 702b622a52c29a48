"""What audit does with events: every event of a tenant becomes one entry of its log, in order.

A batch takes a fixed number of statements. A deleted user's personal data is erased in the
transaction that records the deletion; a deleted tenant's log is closed here and erased later.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from chassis.database import Connection
from contracts.lifecycle import ApiKeyRefused, TenantDeletionRequested
from contracts.topology import EVENTS_PREFIX
from contracts.users import UserDeleted
from faststream.nats import NatsRouter
from outbox.consumer import Consumer
from outbox.inbox import ReceivedEvent
from outbox.person_erasure import erase_from_dead_letters

from audit import chain, data_subjects
from audit.append import Entry, append, lock_heads
from audit.data_subjects import DataSubject
from audit.tenant_erasure import request_erasure

DELETION_REQUESTED = TenantDeletionRequested.subject("projects")
REFUSED = ApiKeyRefused.subject("projects")


async def handle_events(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Handles a batch in one transaction; ignores lifecycle messages other than those two."""
    deletions = {each.tenant_id: each for each in events if each.subject == DELETION_REQUESTED}
    entries = [to_entry(each) for each in events if _is_recorded(each)]
    tenants = {entry.tenant_id for entry in entries} | deletions.keys()
    if not tenants:
        return
    heads = await lock_heads(conn, tenants)
    for deletion in deletions.values():
        await request_erasure(conn, deletion)
    entries = [
        entry
        for entry in entries
        if entry.tenant_id not in deletions and heads[entry.tenant_id].closed_at is None
    ]
    if not entries:
        return
    deleted = {(each.tenant_id, each.resource_id) for each in entries if _deletes_a_user(each)}
    erased = deleted | await data_subjects.list_deleted(conn, _subjects(entries))
    await append(conn, heads, [_without_erased(entry, erased) for entry in entries])
    if deleted:
        await data_subjects.erase(conn, deleted, datetime.now(UTC))
        for tenant_id, user_id in deleted:
            await erase_from_dead_letters(conn, tenant_id, user_id)


def to_entry(received: ReceivedEvent) -> Entry:
    """The entry of an event, not yet numbered."""
    event = received.event
    data: dict[str, Any] = event["data"]
    refused = received.subject == REFUSED
    resource_type = received.type.split(".", 1)[0]
    plain, personal = chain.split_changes(
        resource_type, {} if refused else data.get("changes") or {}
    )
    reason = data.get("code" if refused else "reason")
    return Entry(
        tenant_id=received.tenant_id,
        id=received.id,
        action=received.type,
        resource_type=resource_type,
        resource_id=data["resource_id"] if refused else event["subject"],
        actor_type=event["actortype"],
        actor_id=event["actorid"],
        request_id=event["requestid"],
        traceparent=event["traceparent"],
        reason=reason if isinstance(reason, str) else None,
        changes=plain,
        created_at=datetime.fromisoformat(event["time"]).astimezone(UTC),
        ip_address=received.ip_address,
        user_agent=received.user_agent,
        personal_changes=personal,
        actor_user=data_subjects.actor_user(event),
        about_user=data_subjects.about_user(event),
    )


def _is_recorded(received: ReceivedEvent) -> bool:
    return received.subject == REFUSED or received.subject.startswith(EVENTS_PREFIX + ".")


def _deletes_a_user(entry: Entry) -> bool:
    return entry.action == UserDeleted.type


def _subjects(entries: Sequence[Entry]) -> list[DataSubject]:
    return [
        (entry.tenant_id, user_id)
        for entry in entries
        for user_id in (entry.actor_user, entry.about_user)
        if user_id is not None
    ]


def _without_erased(entry: Entry, erased: set[DataSubject]) -> Entry:
    """The entry, without the personal data of deleted users. Address and agent are the actor's."""
    if (entry.tenant_id, entry.actor_user) in erased:
        return entry.without_personal_data()
    if (entry.tenant_id, entry.about_user) in erased:
        return entry.without_personal_changes()
    return entry


router = NatsRouter()
consumer = Consumer("audit", handle_events)


@router.subscriber(**consumer.options)
async def receive(batch: list[Any]) -> None:
    """Receives a batch of messages from the durable consumer `audit`."""
    await consumer.receive(batch)
