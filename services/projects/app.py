"""Projects: tenants and their credentials, projects, API keys and signing keys."""

from chassis.process import Process, run_service
from outbox.attach import attach

from projects import credentials, events, retirement
from projects.rpc import ROUTES


async def start(process: Process) -> None:
    """Answers calls, hears what was erased, and publishes what is recorded."""
    relay = attach(process, events.take)

    async def forget_refusals() -> None:
        async with process.pool.acquire() as conn:
            await credentials.FORGET_REFUSALS.run(conn)

    process.every(3600, "forget_refusals", forget_refusals)
    process.every(60, "retire_signing_keys", lambda: retirement.retire(process.pool))
    await process.answer(ROUTES, relay.wake)


def main() -> None:
    run_service("projects", start)
