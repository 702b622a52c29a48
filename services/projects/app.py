"""Projects: tenants and their credentials, projects, API keys and signing keys."""

from chassis.service import Service, run_service
from outbox.register import register

from projects import credentials, events, retirement
from projects.rpc import ROUTES


async def start(process: Service) -> None:
    """Answers calls, hears what was erased, and publishes what is recorded."""
    relay = register(process, events.take)

    async def forget_refusals() -> None:
        async with process.pool.acquire() as conn:
            await credentials.FORGET_REFUSALS.execute(conn)

    process.every(3600, "forget_refusals", forget_refusals)
    process.every(60, "retire_signing_keys", lambda: retirement.retire(process.pool))
    await process.answer(ROUTES, relay.wake)


def main() -> None:
    run_service("projects", start)
