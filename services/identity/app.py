"""Identity: users, sessions, organizations, members and invitations."""

from functools import partial

from chassis import rpc
from chassis.service import Service, run_service
from outbox.register import register

from identity import erasure, events, retention, tallies
from identity.activity import FLUSH_SECONDS, Activity
from identity.projects import Projects
from identity.rpc import routes


async def start(service: Service) -> None:
    """Answers calls, hears of projects and tenants, and publishes what is recorded."""
    relay = register(service, events.take)

    async def erase() -> None:
        while await erasure.erase_next(service.pool):
            relay.wake()

    service.every(0.2, "erase", erase)
    activity = Activity()
    flush = partial(activity.flush, service.pool)
    service.on_stop(flush)
    service.every(FLUSH_SECONDS, "flush_activity", flush)
    service.every(tallies.FOLD_SECONDS, "fold_tallies", partial(tallies.fold, service.pool))
    service.every(3600, "purge_sessions", partial(retention.purge, service.pool))
    projects = Projects(partial(rpc.ask, service.nats))
    await service.serve_calls(routes(projects, activity), relay.wake)


def main() -> None:
    run_service("identity", start)
