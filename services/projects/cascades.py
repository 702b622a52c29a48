"""The cascades of projects (`outbox.cascade`), and how readers see their effect at once.

A key that a cascade revokes is found by the cascade itself: by that of its project, or by that of a
key from which it descends.
"""

from outbox.tables import CASCADES as ALL_CASCADES
from sqlalchemy import Boolean, and_, exists, func

from projects.tables import API_KEYS, METADATA

PROJECT = "project"
"""A deleted project, whose keys are revoked."""
DESCENDANTS = "descendants"
"""A revoked key: the keys that it made, those behind `last_id`, are revoked, and all that they
made.
"""
TENANT = "tenant"
"""A tenant that every other service has erased."""

CASCADES = METADATA.tables[ALL_CASCADES.name]


IS_KEY_ENDED = and_(
    exists().where(CASCADES.c.tenant_id == API_KEYS.c.tenant_id),
    func.is_key_ended(
        API_KEYS.c.tenant_id, API_KEYS.c.project_id, API_KEYS.c.created_by, type_=Boolean
    ),
)
"""Whether a cascade revokes the key, which is stored as active until then. The function, which
looks for the key's makers, is called only while the tenant has a cascade: hardly ever.
"""
