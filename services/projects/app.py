"""Projects: tenants and their credentials, projects, API keys and signing keys."""

from chassis.purge import purge
from chassis.service import Service, run_service
from outbox.cascade import Cascades
from outbox.register import register

from projects.cascade_steps import STEPS
from projects.keys import key_usage
from projects.rpc import HANDLERS
from projects.signing import key_retirement
from projects.subscribers import consumer, router
from projects.tokens.token_keys import MAINTENANCE_SECONDS, Maintenance


async def start(service: Service) -> None:
    """Answers calls, handles events of other services, and publishes its own."""
    register(service, router, consumer)
    pool = service.pool
    service.every(3600, "purge_refusals", lambda: purge(pool, key_usage.PURGE_REFUSALS))
    service.after_commits("cascades", Cascades(pool, STEPS, service.committed).run)
    token_keys = Maintenance(service)
    service.every(MAINTENANCE_SECONDS, "maintain_token_keys", token_keys.step, at_once=True)
    service.every(60, "retire_signing_keys", lambda: key_retirement.retire_due_keys(pool))
    await service.serve_calls(HANDLERS)


def main() -> None:
    run_service("projects", start)
