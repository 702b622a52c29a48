"""The stream as an outsider sees it: filled with events, and how far those who hear it are."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import nats
import orjson
from contracts.context import Context
from contracts.event_validation import validate_event
from contracts.events import CONTENT_TYPE
from contracts.organizations import OrganizationCreated
from contracts.topology import SERVICE_NAMES, STREAM
from nats.js import JetStreamContext
from outbox.record import create_entry

from bench.product import Product, until

AT_ONCE = 1_000
_ORGANIZATION: dict[str, Any] = {
    "name": "Acme Incorporated",
    "logo_url": None,
    "settings": {},
    "metadata": {},
    "max_members": None,
    "member_count": 0,
    "version": 1,
    "created_at": "2026-01-15T10:00:00Z",
    "updated_at": "2026-01-15T10:00:00Z",
}


@asynccontextmanager
async def opened(product: Product) -> AsyncIterator[JetStreamContext]:
    """JetStream for the user that may do everything."""
    client = await nats.connect(product.nats_url)
    try:
        yield client.jetstream(timeout=10, publish_async_max_pending=10_000)
    finally:
        await client.close()


def made_events(tenant_ids: list[str], count: int) -> list[tuple[str, str, bytes]]:
    """Subject, identifier and bytes of events as identity records them, of the tenants in turns."""
    found: list[tuple[str, str, bytes]] = []
    for number in range(count):
        context = Context(
            tenant_id=tenant_ids[number % len(tenant_ids)],
            actor_type="api_key",
            actor_id="key_01jt7a3v9qf8mbd2m0q5k4h6xz",
            request_id=f"req_{number:024}",
            traceparent=f"00-{number + 1:032x}-{number + 1:016x}-01",
        )
        identifier = f"org_{number:026}"
        shown = {**_ORGANIZATION, "id": identifier, "slug": f"acme-{number}"}
        each = create_entry(context, OrganizationCreated, identifier, {"organization": shown})
        if not found:  # those who hear them refuse what is none of ours
            validate_event(each.subject, orjson.loads(each.payload), datetime.now(UTC))
        found.append((each.subject, each.event_id, each.payload))
    return found


async def publish(js: JetStreamContext, stream: str, events: list[tuple[str, str, bytes]]) -> None:
    """All of them, many under way at once."""
    for start in range(0, len(events), AT_ONCE):
        acks = [
            await js.publish_async(
                subject,
                payload,
                stream=stream,
                headers={"Nats-Msg-Id": event_id, "Content-Type": CONTENT_TYPE},
            )
            for subject, event_id, payload in events[start : start + AT_ONCE]
        ]
        await asyncio.gather(*acks)


async def pending(js: JetStreamContext, consumer: str) -> int:
    """How many messages a consumer has yet to take in."""
    info = await js.consumer_info(STREAM, consumer)
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


async def is_quiet(product: Product, *, deliveries: bool = False) -> bool:
    """Whether every event was published and heard by all, and with `deliveries` sent too."""
    async with opened(product) as js, product.database("identity") as conn:
        quiet = await _is_heard(conn, js)
    if quiet and deliveries:
        async with product.database("webhooks") as conn:
            return not await conn.fetchval("SELECT count(*) FROM queue")
    return quiet


async def seconds_until_quiet(product: Product) -> float:
    """How long those behind a write took to catch up."""
    async with opened(product) as js, product.database("identity") as conn:
        begun = time.monotonic()
        await until(lambda: _is_heard(conn, js), 300)
        return time.monotonic() - begun


async def _is_heard(conn: asyncpg.Connection, js: JetStreamContext) -> bool:
    if await conn.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL"):
        return False
    return not sum([await pending(js, consumer) for consumer in SERVICE_NAMES])
