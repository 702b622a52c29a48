"""Webhooks: endpoints of a tenant, and every event delivered to those that want it."""

import asyncio
from functools import partial
from typing import Any

import structlog
from chassis.client_limits import connection_limit
from chassis.service import Service, run_service
from outbox.cascade import Cascades
from outbox.register import register

from webhooks.cascade_steps import STEPS
from webhooks.fanout_steps import FanOut
from webhooks.person_erasure import PersonErasure
from webhooks.retention import apply_retention
from webhooks.rpc import handlers
from webhooks.settings import WebhooksSettings
from webhooks.subscribers import consumer, direct, router
from webhooks.tenant_erasure import erase_tenants
from webhooks.worker.connection_pool import MAX_IDLE
from webhooks.worker.dispatcher import DIRECT_LIMIT, PROCESS_LIMIT, Dispatcher
from webhooks.worker.http_client import HttpClient

log = structlog.get_logger()

LATE_SECONDS = 60
"""How long an event may wait for its deliveries until health says degraded."""
RETENTION_SECONDS = 3600
RETENTION_RETRY_SECONDS = 5


async def start(service: Service) -> None:
    """Answers calls, handles events, sends deliveries and publishes what is recorded."""
    settings = service.settings
    assert isinstance(settings, WebhooksSettings)
    allow_private = settings.webhooks_allow_private
    if allow_private:
        log.warning("private_addresses_allowed", meaning="for development only")

    register(service, router, consumer)
    dispatcher = Dispatcher(
        service.pool,
        service.keyring,
        HttpClient(allow_private=allow_private),
        allow_private=allow_private,
        on_recorded=service.committed,
    )

    direct.connect(dispatcher)
    connection_limit(PROCESS_LIMIT + DIRECT_LIMIT + MAX_IDLE)
    fan_out = FanOut(service.pool, dispatcher.wake)
    service.on_commit(dispatcher.wake)
    service.on_commit(fan_out.wake)

    async def check_fan_out() -> dict[str, Any]:
        seconds = await fan_out.oldest_seconds()
        late = {"status": "degraded"} if seconds > LATE_SECONDS else {}
        return {"oldest_seconds": round(seconds, 1)} | late

    async def run_retention() -> None:
        while True:
            try:
                await apply_retention(service.pool)
                wait = RETENTION_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again soon
                log.warning("retention_failed", error=type(error).__name__)
                wait = RETENTION_RETRY_SECONDS
            await asyncio.sleep(wait)

    service.health.add("fan_out", check_fan_out, needed=False)
    service.background("dispatch", dispatcher.run)
    service.background("fan_out", fan_out.run)
    service.background("retention", run_retention)
    erase = partial(erase_tenants, service.pool, service.committed)
    service.after_commits("erase_tenants", erase)
    erasure = PersonErasure(service.pool, service.committed)
    service.health.add("erasure", erasure.check, needed=False)
    service.after_commits("erase_people", erasure.run)
    service.after_commits("cascades", Cascades(service.pool, STEPS, service.committed).run)
    service.on_stop(dispatcher.stop)
    await service.serve_calls(handlers(allow_private=allow_private))


def main() -> None:
    run_service("webhooks", start, WebhooksSettings)
