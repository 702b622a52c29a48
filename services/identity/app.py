"""Identity: users, sessions, organizations, members and invitations."""

from typing import Any

from chassis.process import Process, run_service
from chassis.telemetry import DEAD_LETTERS, EVENTS_CONSUMED, EVENTS_PUBLISHED, OUTBOX_AGE
from outbox.inbox import Inbox
from outbox.relay import Relay, oldest_unpublished

from identity import erasure, events
from identity.rpc import ROUTES

LATE_SECONDS = 30
"""The age of an unpublished event at which health says degraded."""
_COUNT_DEAD = "SELECT count(*) FROM dead_letters"


async def start(process: Process) -> None:
    """Answers calls, hears of projects and tenants, and publishes what is recorded."""
    relay = Relay(process.settings.database_url, process.nats, EVENTS_PUBLISHED.inc)
    inbox = Inbox(process.name, process.pool, events.take, EVENTS_CONSUMED.inc, DEAD_LETTERS.inc)
    inbox.subscribe(process.broker, after=relay.wake)

    async def consumer() -> dict[str, Any]:
        return {"pending": (await inbox.consumer(process.broker)).num_pending}

    async def outbox() -> dict[str, Any]:
        async with process.pool.acquire() as conn:
            age = await oldest_unpublished(conn)
        OUTBOX_AGE.set(age)
        details: dict[str, Any] = {"oldest_seconds": round(age, 1)}
        return details | ({"status": "degraded"} if age > LATE_SECONDS else {})

    async def dead_letters() -> dict[str, Any]:
        async with process.pool.acquire() as conn:
            count = await conn.fetchval(_COUNT_DEAD)
        return {"count": count} | ({"status": "degraded"} if count else {})

    async def erase() -> None:
        while await erasure.erase_next(process.pool):
            relay.wake()

    process.health.add("events", consumer, needed=False, ready=True)
    process.health.add("outbox", outbox, needed=False)
    process.health.add("dead_letters", dead_letters, needed=False)
    process.background("relay", relay.run)
    process.every(0.2, "erase", erase)
    process.every(5, "outbox_age", outbox)
    process.every(3600, "forget_marks", inbox.forget)
    await process.answer(ROUTES, relay.wake)


def main() -> None:
    run_service("identity", start)
