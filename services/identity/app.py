"""Identity: users, sessions, organizations, members and invitations."""

from functools import partial

from chassis.rpc.client import call_service
from chassis.service import Service, run_service
from outbox.register import register

from identity import counters, retention, subscribers, tenant_erasure
from identity.last_active import FLUSH_SECONDS, LastActive
from identity.projects_client import ProjectsClient
from identity.rpc import handlers


async def start(service: Service) -> None:
    """Answers calls, consumes events and publishes what is recorded."""
    relay = register(service, subscribers.handle_events)

    async def erase_tenants() -> None:
        while await tenant_erasure.erase_next(service.pool):
            relay.wake()

    service.every(0.2, "erase_tenants", erase_tenants)
    last_active = LastActive()
    flush = partial(last_active.flush, service.pool)
    service.on_stop(flush)
    service.every(FLUSH_SECONDS, "flush_last_active", flush)
    service.every(counters.FOLD_SECONDS, "fold_counters", partial(counters.fold, service.pool))
    purge = partial(retention.purge_sessions, service.pool)
    service.every(retention.PURGE_SECONDS, "purge_sessions", purge)
    projects = ProjectsClient(partial(call_service, service.nats))
    await service.serve_calls(handlers(projects, last_active), relay.wake)


def main() -> None:
    run_service("identity", start)
