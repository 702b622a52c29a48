"""Projects: tenants and their credentials, projects, API keys and signing keys."""

from chassis.service import Service, run_service
from outbox.register import register

from projects import credentials, events, retirement
from projects.rpc import ROUTES


async def start(service: Service) -> None:
    """Answers calls, hears what was erased, and publishes what is recorded."""
    relay = register(service, events.take)

    async def forget_refusals() -> None:
        async with service.pool.acquire() as conn:
            await credentials.FORGET_REFUSALS.execute(conn)

    service.every(3600, "forget_refusals", forget_refusals)
    service.every(60, "retire_signing_keys", lambda: retirement.retire(service.pool))
    await service.serve_calls(ROUTES, relay.wake)


def main() -> None:
    run_service("projects", start)
