"""The erasure of a tenant: see `outbox.tenant_erasure`.

Cascades are deleted first, then invitations, so that nobody else joins.
"""

from chassis.idempotency import IDEMPOTENCY
from outbox.tables import OUTBOX
from outbox.tenant_erasure import TenantErasure

from identity.cascades import CASCADES
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
    [CASCADES, INVITATIONS, SESSIONS, MEMBERS, ORGANIZATIONS, USERS, COUNTERS, IDEMPOTENCY, OUTBOX],
)
