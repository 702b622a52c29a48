"""Sealing webhook secrets anew: see `chassis.rewrapping`."""

from datetime import UTC, datetime

from chassis.key_rotation import KeyRotation

from webhooks.tables import SECRETS
from webhooks.webhooks import sealed_for

rewrap = KeyRotation(
    SECRETS.c.sealed,
    {
        SECRETS.c.tenant_id: "",
        SECRETS.c.webhook_id: "",
        SECRETS.c.created_at: datetime.min.replace(tzinfo=UTC),
    },
    lambda row: sealed_for(row["webhook_id"]),
)
