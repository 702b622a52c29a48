"""Sealing private keys anew: see `chassis.rewrapping`."""

from chassis.key_rotation import KeyRotation

from projects.signing_keys import associated_data
from projects.tables import SIGNING_KEYS

# A key that will sign no more has no private half: null, and so never stale.
rewrap = KeyRotation(
    SIGNING_KEYS.c.private_key,
    {SIGNING_KEYS.c.tenant_id: "", SIGNING_KEYS.c.project_id: "", SIGNING_KEYS.c.id: ""},
    lambda row: associated_data(row["id"]),
)
