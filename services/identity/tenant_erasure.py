"""The erasure of a tenant: see `outbox.tenant_erasure`.

Invitations are deleted first, so that nobody else joins; rows go before those that they refer to.
"""

from chassis.idempotency import IDEMPOTENCY
from outbox.tables import OUTBOX
from outbox.tenant_erasure import TenantErasure

from identity.tables import (
    COUNTERS,
    ERASURES,
    INVITATIONS,
    MEMBERS,
    ORGANIZATIONS,
    SESSIONS,
    USERS,
)

TENANT_ERASURE = TenantErasure(
    "identity",
    ERASURES,
    [INVITATIONS, SESSIONS, MEMBERS, ORGANIZATIONS, USERS, COUNTERS, IDEMPOTENCY, OUTBOX],
)
