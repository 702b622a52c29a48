"""Story words for the tests of webhooks: somebody subscribes, something happens, it arrives."""

from typing import Any

import orjson
from contracts import webhooks as calls
from contracts.context import Context
from contracts.events import EVENT_TYPES
from contracts.ids import new_id
from outbox.inbox import ReceivedEvent
from outbox.record import create_entry
from support.owner import TRACE, Answer, Owner
from support.waiting import until
from webhooks import events


def heard(tenant: str, kind: str = "user.created", actor: str | None = None) -> ReceivedEvent:
    """An event of another service as the stream brings it."""
    context = Context(
        tenant_id=tenant,
        actor_type="api_key",
        actor_id=actor or new_id("key"),
        request_id=new_id("req"),
        traceparent=TRACE,
    )
    made = create_entry(context, EVENT_TYPES[kind], new_id("usr"), {"user": {"name": "Ada"}})
    return heard_as(made.subject, made.payload)


def heard_as(subject: str, payload: bytes) -> ReceivedEvent:
    return ReceivedEvent(orjson.loads(payload), subject, payload, None, None)


class World:
    """What tests do with the service, besides asking it."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.ask = owner.ask

    async def subscribe(self, tenant: str, url: str, *events: str, **fields: Any) -> dict[str, Any]:
        made = await self.ask(
            calls.CREATE_WEBHOOK, tenant, {"url": url, "events": list(events) or ["*"], **fields}
        )
        assert made.status == 201, made.body
        return dict(made.body)

    async def happen(
        self, tenant: str, kind: str = "user.created", *, count: int = 1, actor: str | None = None
    ) -> list[str]:
        """Events of a type; answers their ids."""
        batch = [heard(tenant, kind, actor) for _ in range(count)]
        await self.take(*batch)
        return [each.id for each in batch]

    async def take(self, *batch: ReceivedEvent) -> None:
        async with self.owner.pool.acquire() as conn, conn.transaction():
            await events.take(conn, batch)

    async def deliveries(self, tenant: str, webhook: str, **query: Any) -> list[dict[str, Any]]:
        listed = await self.ask(
            calls.LIST_DELIVERIES, tenant, path={"id": webhook}, query={"limit": 200, **query}
        )
        assert listed.status == 200, listed.body
        return list(listed.body["deliveries"])

    async def delivery(self, tenant: str, webhook: str) -> dict[str, Any]:
        """The only one."""
        (one,) = await self.deliveries(tenant, webhook)
        return one

    async def attempted(self, tenant: str, webhook: str, attempts: int = 1) -> dict[str, Any]:
        """The only delivery once it has so many attempts."""

        async def enough() -> dict[str, Any] | None:
            one = await self.delivery(tenant, webhook)
            return one if len(one["attempts"]) >= attempts else None

        return await until(enough)  # type: ignore[return-value]

    async def webhook(self, tenant: str, webhook: str) -> dict[str, Any]:
        found = await self.ask(calls.GET_WEBHOOK, tenant, path={"id": webhook})
        return dict(found.body)

    async def change(self, tenant: str, webhook: str, **fields: Any) -> Answer:
        return await self.ask(calls.UPDATE_WEBHOOK, tenant, fields, path={"id": webhook})

    async def make_due(self, tenant: str) -> None:
        """As if the time of every retry had come."""
        await self.owner.pool.execute(
            "UPDATE queue SET wake_at = now() WHERE tenant_id = $1 AND state = 'waiting'", tenant
        )
