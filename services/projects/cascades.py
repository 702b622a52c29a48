"""The cascades of projects (`outbox.cascade`), and how readers see their effect at once.

A key that a cascade revokes is found by the cascade itself: by that of its project, or by that of a
key from which it descends.
"""

from chassis.statements import any_of
from outbox.tables import CASCADES as ALL_CASCADES
from sqlalchemy import (
    Boolean,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)

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

_made = API_KEYS.alias("made")
_makers = (
    select(CASCADES.c.resource_id.label("id"))
    .where(
        CASCADES.c.tenant_id == bindparam("tenant_id"),
        CASCADES.c.kind == literal_column(f"'{DESCENDANTS}'"),
    )
    .cte("makers", recursive=True)
)
_next_maker = (
    select(_made.c.id)
    .where(_made.c.tenant_id == bindparam("tenant_id"), _made.c.created_by == _makers.c.id)
    .offset(literal_column("0"))  # looked up for each
    .lateral("next_maker")
)
_makers = _makers.union(select(_next_maker.c.id).select_from(_makers.join(_next_maker, true())))
_projects = select(CASCADES.c.resource_id).where(
    CASCADES.c.tenant_id == bindparam("tenant_id"),
    CASCADES.c.kind == literal_column(f"'{PROJECT}'"),
)
IS_ONE_OF_MANY_ENDED = func.coalesce(  # a root key has no project, some have no maker
    or_(
        API_KEYS.c.project_id == any_of(_projects),
        API_KEYS.c.created_by == any_of(select(_makers.c.id)),
    ),
    false(),
)
"""The same, for statements that look at very many keys of `tenant_id`: what ends is looked up once,
instead of each key's makers.
"""
