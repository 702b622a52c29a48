"""Calls the webhooks service as a tenant does, and hands it events as the stream does."""

import asyncio
from typing import Any

import orjson
from contracts import webhooks as calls
from contracts.calls import Call
from contracts.context import Context
from contracts.events import EVENT_TYPES
from contracts.examples import example_event
from contracts.ids import new_id
from outbox.batch import MAX_EVENTS, STEP_SECONDS
from outbox.inbox import ReceivedEvent, process_once
from outbox.record import create_entry
from support.owner import TRACE, Answer, Owner
from support.waiting import until
from webhooks.fanout_steps import FanOut
from webhooks.subscribers import handle_events


def make_event(tenant: str, kind: str = "user.created", actor: str | None = None) -> ReceivedEvent:
    """An event of another service, as the stream delivers it."""
    context = Context(
        tenant_id=tenant,
        actor_type="api_key",
        actor_id=actor or new_id("key"),
        request_id=new_id("req"),
        traceparent=TRACE,
    )
    example = example_event(EVENT_TYPES[kind])
    entry = create_entry(context, EVENT_TYPES[kind], example["subject"], example["data"])
    return received(entry.subject, entry.payload)


def received(subject: str, payload: bytes) -> ReceivedEvent:
    return ReceivedEvent(orjson.loads(payload), subject, payload, None, None)


class WebhooksClient:
    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.pool = owner.pool
        self.events = owner.events

    async def call(
        self, call: Call, tenant: str, body: Any = None, *path: str, **options: Any
    ) -> Answer:
        """`path` are the identifiers of the URL in order."""
        ids = dict(zip(call.path, path, strict=True))
        return await self.owner.call(call, tenant, body, path=ids, **options)

    async def create_webhook(
        self, tenant: str, url: str, *events: str, **fields: Any
    ) -> dict[str, Any]:
        body = {"url": url, "events": list(events) or ["*"], **fields}
        created = await self.call(calls.CREATE_WEBHOOK, tenant, body)
        assert created.status == 201, created.body
        return dict(created.body)

    async def get_webhook(self, tenant: str, webhook: str) -> dict[str, Any]:
        return dict((await self.call(calls.GET_WEBHOOK, tenant, None, webhook)).body)

    async def update_webhook(self, tenant: str, webhook: str, **fields: Any) -> Answer:
        return await self.call(calls.UPDATE_WEBHOOK, tenant, fields, webhook)

    async def handle(self, *events: ReceivedEvent) -> None:
        """Hands the service a batch of events, and waits until all of it is fanned out."""
        async with self.pool.acquire() as conn, conn.transaction():
            await handle_events(conn, events)
        fan_out = FanOut(self.pool, lambda: None)
        while await fan_out.step():
            pass

    async def publish(
        self, tenant: str, kind: str = "user.created", *, count: int = 1, actor: str | None = None
    ) -> list[str]:
        """Hands the service events of a type; returns their ids."""
        events = [make_event(tenant, kind, actor) for _ in range(count)]
        await self.handle(*events)
        return [each.id for each in events]

    async def consume(self, tenant: str, *, count: int = 1) -> list[str]:
        """Hands it events as its consumer does: in batches, each in its time; what has many
        deliveries waits for its steps. Returns the ids of the events.
        """
        events = [make_event(tenant) for _ in range(count)]
        async with self.pool.acquire() as conn:
            for first in range(0, count, MAX_EVENTS):
                async with asyncio.timeout(STEP_SECONDS):
                    await process_once(conn, handle_events, events[first : first + MAX_EVENTS])
        return [each.id for each in events]

    async def list_deliveries(
        self, tenant: str, webhook: str, **query: Any
    ) -> list[dict[str, Any]]:
        query = {"limit": 200, **query}
        listed = await self.call(calls.LIST_DELIVERIES, tenant, None, webhook, query=query)
        assert listed.status == 200, listed.body
        return list(listed.body["deliveries"])

    async def only_delivery(self, tenant: str, webhook: str) -> dict[str, Any]:
        (delivery,) = await self.list_deliveries(tenant, webhook)
        return delivery

    async def wait_until_delivered(self, tenant: str, webhook: str, count: int) -> None:
        async def is_delivered() -> bool:
            return len(await self.list_deliveries(tenant, webhook, status="succeeded")) >= count

        await until(is_delivered)

    async def wait_for_attempts(
        self, tenant: str, webhook: str, attempts: int = 1
    ) -> dict[str, Any]:
        """The only delivery, once it has so many attempts."""

        async def has_enough() -> dict[str, Any] | None:
            delivery = await self.only_delivery(tenant, webhook)
            return delivery if len(delivery["attempts"]) >= attempts else None

        return await until(has_enough)  # type: ignore[return-value]

    async def make_retries_due(self, tenant: str) -> None:
        await self.pool.execute(
            "UPDATE queue SET wake_at = now() WHERE tenant_id = $1 AND state = 'waiting'", tenant
        )
