"""Which webhooks want an event: SQL conditions on its type and on the actor who caused it."""

from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal
from sqlalchemy.dialects.postgresql import array


def matches(patterns: ColumnElement[Any], event_type: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether one of the patterns covers the type: the exact type, `family.*`, or `*`."""
    family = func.split_part(event_type, ".", 1).concat(".*")
    return patterns.bool_op("&&")(array([event_type, family, literal("*")]))


def wants(
    webhook: Any, event_type: ColumnElement[str], actor_id: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Whether a webhook (its columns) wants an event of that type by that actor."""
    ignored = func.array_position(webhook.ignore_actor_ids, func.coalesce(actor_id, ""))
    return and_(matches(webhook.events, event_type), ignored.is_(None))
