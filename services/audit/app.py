"""Audit: every event of a tenant, in one chained log that is only appended to."""

from functools import partial

import structlog
from chassis.database import open_pool
from chassis.service import Service, run_service
from outbox.register import register

from audit import partitions, tenant_erasure
from audit.checkpoints import Checkpoints
from audit.rpc import handlers
from audit.settings import AuditSettings
from audit.subscribers import consumer, router

log = structlog.get_logger()

EXPORTS = 1
PROOFS = 1
"""How many run at a time in a process; each step is short. The others wait, until their deadline.
With two exports at a time everybody else's p95 was two to three times as long."""


async def start(service: Service) -> None:
    """Records and signs events, answers calls, creates and drops months, and erases tenants."""
    settings, pool = service.settings, service.pool
    assert isinstance(settings, AuditSettings)
    register(service, router, consumer)
    days = settings.audit_retention_days
    erase = partial(tenant_erasure.TENANT_ERASURE.run, pool, service.committed)
    service.after_commits("erase_tenants", erase)
    service.every(60, "create_partitions", lambda: partitions.create_ahead(pool))
    if days is not None:
        service.every(3600, "drop_partitions", lambda: partitions.drop_expired(pool, days))
    if settings.seeds():
        checkpoints = Checkpoints(pool, settings, service.committed)
        service.health.add("checkpoints", checkpoints.check, needed=False)
        service.every(
            settings.audit_checkpoint_seconds, "sign_checkpoints", checkpoints.sign_pending
        )
    else:
        log.warning("no_checkpoints", missing="TENANTRY_AUDIT_CHECKPOINT_SEEDS")
    exports = await open_pool(settings.database_url, EXPORTS)
    proofs = await open_pool(settings.database_url, PROOFS)

    async def close() -> None:
        exports.terminate()
        proofs.terminate()

    service.on_stop(close)
    await service.serve_calls(handlers(exports=exports, proofs=proofs, settings=settings))


def main() -> None:
    run_service("audit", start, AuditSettings)
