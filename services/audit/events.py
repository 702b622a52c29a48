"""What audit hears: every event of a tenant becomes one entry of its log, once and in order.

A batch takes a fixed number of statements. A deleted user's personal data goes in the transaction
that records the deletion; a tenant that is to be erased is closed here and erased step by step.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from chassis.database import Connection
from contracts.events import lifecycle_subject
from contracts.topology import EVENTS_PREFIX
from outbox.inbox import ReceivedEvent

from audit import chain, erasure, log, people
from audit.log import Entry

DELETION = lifecycle_subject("projects", "tenant.deletion_requested")
REFUSED = lifecycle_subject("projects", "api_key.refused")


async def take(conn: Connection, events: Sequence[ReceivedEvent]) -> None:
    """The effect of a batch. Lifecycle messages other than those two are no business of ours."""
    ends = {each.tenant_id: each for each in events if each.subject == DELETION}
    entries = [entry_of(each) for each in events if _is_recorded(each)]
    tenants = {entry.tenant_id for entry in entries} | ends.keys()
    if not tenants:
        return
    heads = await log.lock(conn, tenants)
    now = datetime.now(UTC)
    for tenant_id, end in ends.items():
        await erasure.close(conn, end.context(), tenant_id, now)
    entries = [
        entry
        for entry in entries
        if entry.tenant_id not in ends and heads[entry.tenant_id].closed_at is None
    ]
    if not entries:
        return
    deleted = {(each.tenant_id, each.resource_id) for each in entries if _deletes_a_user(each)}
    gone = deleted | await people.gone(conn, _people(entries))
    await log.append(conn, heads, [_without(gone, entry) for entry in entries])
    if deleted:
        await people.forget(conn, deleted, now)


def entry_of(heard: ReceivedEvent) -> Entry:
    """The entry that an event makes, not yet numbered."""
    event = heard.event
    data: dict[str, Any] = event["data"]
    refused = heard.subject == REFUSED
    resource_type = heard.type.split(".", 1)[0]
    plain, personal = chain.split(resource_type, {} if refused else data.get("changes") or {})
    reason = data.get("code" if refused else "reason")
    return Entry(
        tenant_id=heard.tenant_id,
        id=heard.id,
        action=heard.type,
        resource_type=resource_type,
        resource_id=data["resource_id"] if refused else event["subject"],
        actor_type=event["actortype"],
        actor_id=event["actorid"],
        request_id=event["requestid"],
        traceparent=event["traceparent"],
        reason=reason if isinstance(reason, str) else None,
        changes=plain,
        created_at=datetime.fromisoformat(event["time"]).astimezone(UTC),
        ip_address=heard.ip_address,
        user_agent=heard.user_agent,
        personal_changes=personal,
        actor_user=people.actor_of(event),
        about_user=people.about(event),
    )


def _is_recorded(heard: ReceivedEvent) -> bool:
    return heard.subject == REFUSED or heard.subject.startswith(EVENTS_PREFIX + ".")


def _deletes_a_user(entry: Entry) -> bool:
    return entry.action == "user.deleted"


def _people(entries: Sequence[Entry]) -> list[people.Person]:
    return [
        (entry.tenant_id, user_id)
        for entry in entries
        for user_id in (entry.actor_user, entry.about_user)
        if user_id is not None
    ]


def _without(gone: set[people.Person], entry: Entry) -> Entry:
    """The entry, emptied of personal data if it is about somebody who was deleted."""
    if gone.isdisjoint(_people([entry])):
        return entry
    return entry.impersonal()
