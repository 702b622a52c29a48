"""Identity: users, sessions, organizations, members and invitations."""

from typing import Any

from chassis.process import Process, run_service
from chassis.telemetry import DEAD_LETTERS, EVENTS_CONSUMED, EVENTS_PUBLISHED
from outbox.inbox import Inbox
from outbox.relay import Relay

from identity import erasure, events
from identity.rpc import ROUTES


async def start(process: Process) -> None:
    """Answers calls, hears of projects and tenants, and publishes what is recorded."""
    relay = Relay(process.settings.database_url, process.nats, EVENTS_PUBLISHED.inc)
    inbox = Inbox(process.name, process.pool, events.take, EVENTS_CONSUMED.inc, DEAD_LETTERS.inc)
    inbox.subscribe(process.broker, after=relay.wake)

    async def consumer() -> dict[str, Any]:
        return {"pending": (await inbox.consumer(process.broker)).num_pending}

    async def erase() -> None:
        while await erasure.erase_next(process.pool):
            relay.wake()

    process.health.add("events", consumer, needed=False, ready=True)
    process.background("relay", relay.run)
    process.every(1, "erase", erase)
    process.every(3600, "forget_marks", inbox.forget)
    await process.answer(ROUTES, relay.wake)


def main() -> None:
    run_service("identity", start)
