"""Encrypts stored private keys again under the first encryption key: see `chassis.key_rotation`."""

from chassis.key_rotation import KeyRotation

from projects.signing.key_material import secret_id
from projects.tables import SIGNING_KEYS

# A key that will sign no more has no private half: null, and so never outdated.
reencrypt_secrets = KeyRotation(
    SIGNING_KEYS.c.private_key,
    {SIGNING_KEYS.c.tenant_id: "", SIGNING_KEYS.c.project_id: "", SIGNING_KEYS.c.id: ""},
    lambda row: secret_id(row["tenant_id"], row["id"]),
)
