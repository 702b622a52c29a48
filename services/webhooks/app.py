"""Webhooks: endpoints of a tenant, and every event delivered to those that want it."""

import asyncio

import structlog
from chassis.service import Service, run_service
from outbox.register import register

from webhooks import erasing, events, retention
from webhooks.connecting import open_session
from webhooks.dispatch import Dispatcher
from webhooks.rpc import routes
from webhooks.settings import WebhooksSettings

log = structlog.get_logger()

KEEP_SECONDS = 3600
ERASE_SECONDS = 0.2


async def start(service: Service) -> None:
    """Answers calls, hears the stream, sends deliveries and publishes what is recorded."""
    settings = service.settings
    assert isinstance(settings, WebhooksSettings)
    allow_private = settings.webhooks_allow_private
    if allow_private:
        log.warning("private_addresses_allowed", meaning="for development only")

    def committed() -> None:
        relay.wake()
        dispatcher.wake()

    relay = register(service, events.take, after=committed)
    dispatcher = Dispatcher(
        service.pool,
        service.keyring,
        open_session(allow_private=allow_private),
        allow_private=allow_private,
        recorded=relay.wake,
    )

    async def keep_partitions() -> None:
        while True:
            try:
                await retention.keep(service.pool)
                wait = KEEP_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it is, soon again
                log.warning("retention_failed", error=type(error).__name__)
                wait = 5
            await asyncio.sleep(wait)

    service.background("dispatch", dispatcher.run)
    service.background("retention", keep_partitions)
    service.every(ERASE_SECONDS, "erase", lambda: erasing.go_on(service.pool, relay.wake))
    service.on_stop(dispatcher.stop)
    await service.serve_calls(routes(allow_private=allow_private), committed)


def main() -> None:
    run_service("webhooks", start, WebhooksSettings)
