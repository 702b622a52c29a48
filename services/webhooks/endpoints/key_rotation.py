"""Encrypts signing secrets again under the first encryption key: see `chassis.key_rotation`."""

from datetime import UTC, datetime

from chassis.key_rotation import KeyRotation

from webhooks.endpoints.secrets import secret_id
from webhooks.tables import SECRETS

reencrypt_secrets = KeyRotation(
    SECRETS.c.sealed,
    {
        SECRETS.c.tenant_id: "",
        SECRETS.c.webhook_id: "",
        SECRETS.c.created_at: datetime.min.replace(tzinfo=UTC),
    },
    lambda row: secret_id(row["tenant_id"], row["webhook_id"]),
)
