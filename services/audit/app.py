"""Audit: every event of a tenant, in one chained log that is only appended to."""

from chassis.service import Service, run_service
from outbox.register import register

from audit import erasure, events, partitions
from audit.rpc import ROUTES
from audit.settings import AuditSettings


async def start(service: Service) -> None:
    """Hears the stream, answers calls, keeps the months, erases tenants and tells of that."""
    settings, pool = service.settings, service.pool
    assert isinstance(settings, AuditSettings)
    relay = register(service, events.take)

    async def erase() -> None:
        while await erasure.erase_next(pool):
            relay.wake()

    async def drop_old() -> None:
        if settings.audit_retention_days is not None:
            await partitions.drop_old(pool, settings.audit_retention_days)

    service.every(0.2, "erase", erase)
    service.every(60, "make_months", lambda: partitions.make_ahead(pool))
    service.every(3600, "drop_months", drop_old)
    await service.serve_calls(ROUTES, relay.wake)


def main() -> None:
    run_service("audit", start, AuditSettings)
