"""Identity: users, sessions, organizations, members and invitations."""

from functools import partial

from chassis.rpc.client import call_service
from chassis.service import Service, run_service
from outbox.cascade import RUN_SECONDS, Cascades
from outbox.register import register
from outbox.tenant_erasure import ERASE_SECONDS

from identity import counters, retention, tenant_erasure
from identity.cascade_steps import STEPS
from identity.last_active import FLUSH_SECONDS, LastActive
from identity.projects_client import ProjectsClient
from identity.rpc import handlers
from identity.subscribers import consumer, router


async def start(service: Service) -> None:
    """Answers calls, consumes events and publishes what is recorded."""
    relay = register(service, router, consumer)
    erase = partial(tenant_erasure.TENANT_ERASURE.run, service.pool, relay.wake)
    service.every(ERASE_SECONDS, "erase_tenants", erase)
    cascades = Cascades(service.pool, STEPS, relay.wake)
    service.every(RUN_SECONDS, "cascades", cascades.run)
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
