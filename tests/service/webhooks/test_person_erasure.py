"""A deleted user is erased from stored events in steps, also from those that come late."""

from typing import Any

import pytest
from contracts.context import Context
from contracts.events import EVENT_TYPES
from contracts.examples import example_event
from contracts.ids import new_id
from outbox.inbox import ReceivedEvent
from outbox.record import create_entry
from service.webhooks.client import WebhooksClient, received
from support.owner import TRACE
from webhooks import person_erasure
from webhooks.person_erasure import PersonErasure

URL = "https://hooks.example.com/in"
ADDRESS = "ada@example.com"
_PAYLOADS = "SELECT payload FROM events WHERE tenant_id = $1 AND type = $2 ORDER BY id"
_ATTEMPT = """
INSERT INTO attempts (tenant_id, delivery_id, number, created_at, webhook_id, at, duration_ms,
                      response_status, response_body, error)
SELECT tenant_id, id, 99, created_at, webhook_id, now(), 1, 500, $2, NULL
  FROM deliveries WHERE tenant_id = $1
"""


def event(
    tenant: str, kind: str, subject: str, data: dict[str, Any] | None = None
) -> ReceivedEvent:
    context = Context(tenant_id=tenant, request_id=new_id("req"), traceparent=TRACE)
    data = data or example_event(EVENT_TYPES[kind])["data"]
    entry = create_entry(context, EVENT_TYPES[kind], subject, data)
    return received(entry.subject, entry.payload)


async def count_with_address(client: WebhooksClient, tenant: str, kind: str) -> list[bool]:
    rows = await client.pool.fetch(_PAYLOADS, tenant, kind)
    return [ADDRESS in row["payload"] for row in rows]


async def erase(client: WebhooksClient) -> None:
    await PersonErasure(client.pool, lambda: None).run()


async def test_events_and_answers_of_the_user_are_erased_and_of_others_not(
    client: WebhooksClient, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_erasure, "BATCH", 200)
    user, other, invitation = new_id("usr"), new_id("usr"), new_id("inv")
    await client.create_webhook(tenant, URL)
    await client.handle(
        *(event(tenant, "user.created", user) for _ in range(450)),
        event(tenant, "user.created", other),
        event(tenant, "member.added", user),
        event(tenant, "invitation.created", invitation),
        event(tenant, "invitation.created", new_id("inv")),
    )
    await client.pool.execute(_ATTEMPT, tenant, ADDRESS)
    data = {"user_id": user, "invitation_ids": [invitation]}
    await client.handle(event(tenant, "user.deleted", user, data))
    await erase(client)
    assert await count_with_address(client, tenant, "user.created") == [False] * 450 + [True]
    assert await count_with_address(client, tenant, "member.added") == [False]
    assert await count_with_address(client, tenant, "invitation.created") == [False, True]
    answers = "SELECT count(*) FROM attempts WHERE tenant_id = $1 AND response_body IS NOT NULL"
    assert await client.pool.fetchval(answers, tenant) == 2, "of the other user and invitation"

    await client.handle(event(tenant, "user.updated", user))
    assert await count_with_address(client, tenant, "user.updated") == [True]
    await erase(client)
    assert await count_with_address(client, tenant, "user.updated") == [False], "late, and erased"


async def test_a_second_round_erases_what_was_answered_meanwhile(
    client: WebhooksClient, tenant: str
) -> None:
    user = new_id("usr")
    await client.create_webhook(tenant, URL)
    await client.handle(event(tenant, "user.created", user))
    await client.handle(event(tenant, "user.deleted", user, {"user_id": user}))
    await erase(client)
    await client.pool.execute(_ATTEMPT, tenant, ADDRESS)
    await client.pool.execute(
        "UPDATE erased_people SET due_at = now() WHERE tenant_id = $1", tenant
    )
    await erase(client)
    bodies = "SELECT count(response_body) FROM attempts JOIN deliveries d ON d.id = delivery_id"
    assert (
        await client.pool.fetchval(
            f"{bodies} WHERE d.event_type = 'user.created' AND d.tenant_id = '{tenant}'"
        )
        == 0
    )
    left = "SELECT due_at FROM erased_people WHERE tenant_id = $1"
    assert await client.pool.fetchval(left, tenant) is None, "and then it is done"
