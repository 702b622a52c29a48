"""Sealing private keys anew: see `chassis.rewrapping`."""

from chassis.rewrapping import Rewrapping

from projects.signing_keys import bound_to
from projects.tables import SIGNING_KEYS

# A key that will sign no more has no private half: null, and so never stale.
rewrap = Rewrapping(
    SIGNING_KEYS.c.private_key,
    {SIGNING_KEYS.c.tenant_id: "", SIGNING_KEYS.c.project_id: "", SIGNING_KEYS.c.id: ""},
    lambda row: bound_to(row["id"]),
)
