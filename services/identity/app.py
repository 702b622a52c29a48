"""Identity: users, sessions, organizations, members and invitations."""

from functools import partial

from chassis.rpc.client import call_service
from chassis.service import Service, run_service
from outbox.cascade import Cascades
from outbox.register import register

from identity import counters, retention, search_index, tenant_erasure
from identity.cascade_steps import STEPS
from identity.last_active import FLUSH_SECONDS, LastActive
from identity.projects_client import ProjectsClient
from identity.rpc import handlers
from identity.subscribers import consumer, router


async def start(service: Service) -> None:
    """Answers calls, consumes events and publishes what is recorded."""
    register(service, router, consumer)
    erase = partial(tenant_erasure.TENANT_ERASURE.run, service.pool, service.committed)
    service.after_commits("erase_tenants", erase)
    service.after_commits("cascades", Cascades(service.pool, STEPS, service.committed).run)
    last_active = LastActive()
    flush = partial(last_active.flush, service.pool)
    service.on_stop(flush)
    service.every(FLUSH_SECONDS, "flush_last_active", flush)
    fold = partial(counters.fold, service.pool)
    service.after_commits("fold_counters", fold, counters.FOLD_SECONDS)
    merge = partial(search_index.merge_pending, service.pool)
    service.after_commits("merge_pending_search_entries", merge, search_index.MERGE_SECONDS)
    purge = partial(retention.purge_sessions, service.pool)
    service.every(retention.PURGE_SECONDS, "purge_sessions", purge)
    projects = ProjectsClient(partial(call_service, service.nats))
    await service.serve_calls(handlers(projects, last_active))


def main() -> None:
    run_service("identity", start)
