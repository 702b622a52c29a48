"""Identity: users, sessions, organizations, members and invitations."""

from functools import partial

from chassis import rpc
from chassis.service import Service, run_service
from outbox.register import register

from identity import erasure, events, retention, tallies
from identity.activity import FLUSH_SECONDS, Activity
from identity.projects import Projects
from identity.rpc import routes


async def start(process: Service) -> None:
    """Answers calls, hears of projects and tenants, and publishes what is recorded."""
    relay = register(process, events.take)

    async def erase() -> None:
        while await erasure.erase_next(process.pool):
            relay.wake()

    process.every(0.2, "erase", erase)
    activity = Activity()
    flush = partial(activity.flush, process.pool)
    process.on_stop(flush)
    process.every(FLUSH_SECONDS, "flush_activity", flush)
    process.every(tallies.FOLD_SECONDS, "fold_tallies", partial(tallies.fold, process.pool))
    process.every(3600, "purge_sessions", partial(retention.purge, process.pool))
    projects = Projects(partial(rpc.ask, process.nats))
    await process.answer(routes(projects, activity), relay.wake)


def main() -> None:
    run_service("identity", start)
