"""What makes a process part of the stream: it tells what it recorded and hears what others did.

Both are shown in its health, its readiness and its metrics.
"""

from collections.abc import Callable
from typing import Any

from chassis.service import Service
from chassis.telemetry import (
    DEAD_LETTERS,
    EVENTS_CONSUMED,
    EVENTS_PENDING,
    EVENTS_PUBLISHED,
    OUTBOX_AGE,
)

from outbox import dead_letters, inbox
from outbox.consumer import Consumer
from outbox.inbox import Handler
from outbox.relay import Relay, oldest_unpublished

LATE_SECONDS = 30
"""The age of an unpublished event at which health says degraded."""
WATCH_SECONDS = 5
FORGET_SECONDS = 3600


def register(
    service: Service, effect: Handler, *, after: Callable[[], None] | None = None
) -> Relay:
    """Publishes the service's outbox and gives `effect` what its durable consumer brings.

    `after` is called when effects are committed; else the relay is woken, to publish what they
    recorded. Not ready when the consumer is gone; degraded with late events or dead letters.
    """
    relay = Relay(service.settings.database_url, service.settings.nats_url, EVENTS_PUBLISHED.inc)
    listener = Consumer(
        service.name,
        service.pool,
        service.nats,
        effect,
        after=after or relay.wake,
        consumed=EVENTS_CONSUMED.inc,
    )

    async def consumer() -> dict[str, Any]:
        info = await listener.consumer()
        EVENTS_PENDING.set((info.num_pending or 0) + (info.num_ack_pending or 0))
        return {"pending": info.num_pending, "unacked": info.num_ack_pending}

    async def unpublished() -> dict[str, Any]:
        async with service.pool.acquire() as conn:
            age = await oldest_unpublished(conn)
        OUTBOX_AGE.set(age)
        return {"oldest_seconds": round(age, 1)} | _degraded(age > LATE_SECONDS)

    async def given_up() -> dict[str, Any]:
        async with service.pool.acquire() as conn:
            count = await dead_letters.count(conn)
        DEAD_LETTERS.set(count)
        return {"count": count} | _degraded(count > 0)

    async def forget() -> None:
        async with service.pool.acquire() as conn:
            await inbox.forget(conn)

    service.health.add("events", consumer, needed=False, ready=True)
    service.health.add("outbox", unpublished, needed=False)
    service.health.add("dead_letters", given_up, needed=False)
    service.background("relay", relay.run)
    service.background("listen", listener.run)
    service.on_reconnect(listener.expect_redelivery)
    service.on_stop(listener.stop)
    for name, watch in {"pending": consumer, "outbox": unpublished, "dead": given_up}.items():
        service.every(WATCH_SECONDS, f"watch_{name}", watch)
    service.every(FORGET_SECONDS, "forget_marks", forget)
    return relay


def _degraded(is_so: bool) -> dict[str, str]:
    return {"status": "degraded"} if is_so else {}
