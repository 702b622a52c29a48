"""Registers a service with the stream: it publishes its outbox and consumes events of others.

Both are shown in its health, its readiness and its metrics.
"""

from typing import Any

from chassis.purge import purge
from chassis.service import Service
from chassis.telemetry import (
    DEAD_LETTERS,
    EVENTS_CONSUMED,
    EVENTS_PENDING,
    EVENTS_PUBLISHED,
    EVENTS_REFUSED,
    OUTBOX_AGE,
)
from contracts.event_validation import REASONS
from faststream.nats import NatsRouter

from outbox import dead_letters, inbox
from outbox.consumer import Consumer
from outbox.relay import Relay, oldest_unpublished

LATE_SECONDS = 30
"""The age of an unpublished event at which health says degraded."""
PURGE_SECONDS = 3600


def register(service: Service, router: NatsRouter, consumer: Consumer) -> None:
    """Publishes the outbox of the service and runs its consumer, whose subscriber `router` has.

    Not ready when the durable consumer is gone; degraded with late events, dead letters, or
    transactions that took too long.
    """
    for reason in REASONS:
        EVENTS_REFUSED.labels(reason)  # from 0: what begins with 1 has not increased
    relay = Relay(service.settings.database_url, service.settings.nats_url, EVENTS_PUBLISHED.inc)

    service.on_commit(relay.wake)

    def on_commit(count: int) -> None:
        EVENTS_CONSUMED.inc(count)
        service.committed()

    consumer.connect(service.broker, router, service.pool, on_commit)

    async def check_pending() -> dict[str, Any]:
        info = await consumer.info()
        EVENTS_PENDING.set((info.num_pending or 0) + (info.num_ack_pending or 0))
        counts = {"pending": info.num_pending, "unacked": info.num_ack_pending}
        return counts | _degraded(consumer.is_slow)

    async def check_outbox() -> dict[str, Any]:
        async with service.pool.acquire() as conn:
            age = await oldest_unpublished(conn)
        OUTBOX_AGE.set(age)
        return {"oldest_seconds": round(age, 1)} | _degraded(age > LATE_SECONDS)

    async def check_dead_letters() -> dict[str, Any]:
        async with service.pool.acquire() as conn:
            count = await dead_letters.count(conn)
        DEAD_LETTERS.set(count)
        return {"count": count} | _degraded(count > 0)

    service.health.add("events", check_pending, needed=False, ready=True)
    service.health.add("outbox", check_outbox, needed=False)
    service.health.add("dead_letters", check_dead_letters, needed=False)
    service.background("relay", relay.run)
    service.background("consumer", consumer.run)
    service.on_reconnect(consumer.expect_redelivery)
    service.on_stop(consumer.stop)
    for check in (check_pending, check_outbox, check_dead_letters):
        service.health.add_gauge(check)
    service.every(PURGE_SECONDS, "purge_inbox", lambda: purge(service.pool, inbox.PURGE))


def _degraded(is_so: bool) -> dict[str, str]:
    return {"status": "degraded"} if is_so else {}
