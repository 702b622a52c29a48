"""Projects: tenants and their credentials, projects, API keys and signing keys."""

from typing import Any

from chassis.process import Process, run_service
from chassis.telemetry import DEAD_LETTERS, EVENTS_CONSUMED, EVENTS_PUBLISHED
from outbox.inbox import Inbox
from outbox.relay import Relay

from projects import credentials, events
from projects.rpc import ROUTES


async def start(process: Process) -> None:
    """Answers calls, hears what was erased, and publishes what is recorded."""
    relay = Relay(process.settings.database_url, process.nats, EVENTS_PUBLISHED.inc)
    inbox = Inbox(process.name, process.pool, events.take, EVENTS_CONSUMED.inc, DEAD_LETTERS.inc)
    inbox.subscribe(process.broker, after=relay.wake)

    async def consumer() -> dict[str, Any]:
        return {"pending": (await inbox.consumer(process.broker)).num_pending}

    async def forget_refusals() -> None:
        async with process.pool.acquire() as conn:
            await credentials.FORGET_REFUSALS.run(conn)

    process.health.add("events", consumer, needed=False, ready=True)
    process.background("relay", relay.run)
    process.every(3600, "forget_refusals", forget_refusals)
    process.every(3600, "forget_marks", inbox.forget)
    await process.answer(ROUTES, relay.wake)


def main() -> None:
    run_service("projects", start)
