"""Audit: every event of a tenant, in one chained log that is only appended to."""

from typing import Any

from chassis.process import Process, run_service
from chassis.telemetry import DEAD_LETTERS, EVENTS_CONSUMED, EVENTS_PUBLISHED
from outbox.inbox import Inbox
from outbox.relay import Relay

from audit import erasure, events, partitions
from audit.rpc import ROUTES
from audit.settings import AuditSettings


async def start(process: Process) -> None:
    """Hears the stream, answers calls, keeps the months, erases tenants and tells of that."""
    settings, pool = process.settings, process.pool
    assert isinstance(settings, AuditSettings)
    relay = Relay(settings.database_url, process.nats, EVENTS_PUBLISHED.inc)
    inbox = Inbox(process.name, pool, events.take, EVENTS_CONSUMED.inc, DEAD_LETTERS.inc)
    inbox.subscribe(process.broker)

    async def consumer() -> dict[str, Any]:
        return {"pending": (await inbox.consumer(process.broker)).num_pending}

    async def erase() -> None:
        while await erasure.erase_next(pool):
            relay.wake()

    async def drop_old() -> None:
        if settings.audit_retention_days is not None:
            await partitions.drop_old(pool, settings.audit_retention_days)

    process.health.add("events", consumer, needed=False, ready=True)
    process.background("relay", relay.run)
    process.every(0.2, "erase", erase)
    process.every(60, "make_months", lambda: partitions.make_ahead(pool))
    process.every(3600, "drop_months", drop_old)
    process.every(3600, "forget_marks", inbox.forget)
    await process.answer(ROUTES, relay.wake)


def main() -> None:
    run_service("audit", start, AuditSettings)
