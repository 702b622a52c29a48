"""Identity: users, sessions, organizations, members and invitations."""

from chassis.process import Process, run_service
from chassis.telemetry import EVENTS_PUBLISHED
from outbox.relay import Relay

from identity.rpc import ROUTES


async def start(process: Process) -> None:
    """Answers calls and publishes what they record."""
    relay = Relay(process.settings.database_url, process.nats, EVENTS_PUBLISHED.inc)
    process.background("relay", relay.run)
    await process.answer(ROUTES, relay.wake)


def main() -> None:
    run_service("identity", start)
