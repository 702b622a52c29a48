"""Whether a message is an event of ours: NATS subject, `source`, `type` and owner agree.

NATS lets each service publish below its own name only, so an event is believed if its subject
names the service that owns its type. Forms are compared, not rules of fields: an event that was
valid when it was recorded stays one, and a newer release may add fields and types.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Literal, get_args

from contracts.catalogue import EVENT_TYPES
from contracts.evolution import Kind, data_schema
from contracts.lifecycle import LIFECYCLE_TYPES
from contracts.topology import EVENTS_PREFIX, LIFECYCLE_PREFIX

Reason = Literal["form", "size", "headers", "envelope", "time", "publisher", "resource", "data"]
"""Why a message is refused; also the label of a metric, so there are only these."""
REASONS: tuple[Reason, ...] = get_args(Reason)

MAX_DEPTH = 32
"""Metadata may nest eight levels, in a resource, in `changes`, in `data`."""
MAX_AHEAD = timedelta(days=1)
"""How far a clock may be ahead. An event of the year 3000 would be the newest for ever."""
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)

RESOURCE_PREFIXES = {
    "tenant": "ten",
    "project": "prj",
    "api_key": "key",
    "signing_key": "sgk",
    "user": "usr",
    "session": "ses",
    "organization": "org",
    "member": "usr",
    "invitation": "inv",
    "webhook": "whk",
}
"""What the identifiers of a family of types begin with: a member is known by its user."""

_SUFFIX = "[0-7][0-9a-hjkmnp-tv-z]{25}"
_PATTERNS = {
    "specversion": r"1\.0",
    "id": f"evt_{_SUFFIX}",
    "source": "tenantry/[a-z][a-z0-9_-]{0,62}",
    "type": r"[a-z][a-z_]{0,62}\.[a-z][a-z_]{0,62}",
    "subject": f"[a-z]{{3}}_{_SUFFIX}",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)",
    "datacontenttype": "application/json",
    "tenantid": f"ten_{_SUFFIX}",
    "actortype": "user|api_key|operator|system",
    "requestid": "[A-Za-z0-9._-]{1,128}",
    "traceparent": "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
}
_get_members = itemgetter(*_PATTERNS)
# One match for all members: they are joined by a character that none of them may have.
_ENVELOPE = re.compile("\n".join(f"(?:{each})" for each in _PATTERNS.values()), re.ASCII)
_ACTOR = re.compile(r"[!-~]{1,128}")


class RefusedEvent(Exception):  # noqa: N818 - as Problem
    """The message is no event of ours; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def validate_event(nats_subject: str, event: Any, now: datetime) -> None:
    """Raises RefusedEvent. `event` is decoded JSON of any form."""
    if not isinstance(event, dict):
        raise RefusedEvent("form")
    _check_envelope(event)
    kind = _check_publisher(nats_subject, event)
    _check_time(event["time"], now)
    if kind is not None and not _SHAPES[kind](event["data"]):
        raise RefusedEvent("data")


def _check_envelope(event: Mapping[str, Any]) -> None:
    try:
        members = "\n".join(_get_members(event))
    except (KeyError, TypeError):  # one is missing, or no text
        raise RefusedEvent("envelope") from None
    if _ENVELOPE.fullmatch(members) is None:
        raise RefusedEvent("envelope")
    actor = event.get("actorid", "")
    if actor is not None and not (isinstance(actor, str) and _ACTOR.fullmatch(actor)):
        raise RefusedEvent("envelope")
    if not isinstance(event.get("data"), dict):
        raise RefusedEvent("envelope")


def _check_publisher(nats_subject: str, event: Mapping[str, Any]) -> Kind | None:
    """The kind of the event; None if this release does not know it."""
    service, event_type = event["source"].partition("/")[2], event["type"]
    family = event_type.partition(".")[0]
    if nats_subject == f"{EVENTS_PREFIX}.{service}.{event_type}":
        kinds: Mapping[str, Kind] = EVENT_TYPES
        owners = _EVENT_OWNERS
    elif nats_subject == f"{LIFECYCLE_PREFIX}.{service}.{event_type}":
        kinds, owners = LIFECYCLE_TYPES, _LIFECYCLE_OWNERS
    else:
        raise RefusedEvent("publisher")
    kind = kinds.get(event_type)
    allowed = owners.get(family) if kind is None else _OWNERS[kind]
    if allowed is not None and service not in allowed:
        raise RefusedEvent("publisher")
    prefix = RESOURCE_PREFIXES.get(family)
    if prefix is not None and not event["subject"].startswith(f"{prefix}_"):
        raise RefusedEvent("resource")
    if family == "tenant" and event["subject"] != event["tenantid"]:
        raise RefusedEvent("resource")
    return kind


def _check_time(value: str, now: datetime) -> None:
    try:
        time = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RefusedEvent("time") from None
    if not EARLIEST <= time <= now + MAX_AHEAD:
        raise RefusedEvent("time")


def _owners(kind: Kind) -> frozenset[str]:
    services = getattr(kind, "services", None)
    return frozenset(services if services is not None else (kind.service,))  # type: ignore[union-attr]


def _owners_of_families(kinds: Mapping[str, Kind]) -> dict[str, frozenset[str]]:
    """Who may publish types of a family, also those that a newer release adds."""
    owners: dict[str, frozenset[str]] = {}
    for event_type, kind in kinds.items():
        family = event_type.partition(".")[0]
        owners[family] = owners.get(family, frozenset()) | _owners(kind)
    return owners


_KINDS: tuple[Kind, ...] = (*EVENT_TYPES.values(), *LIFECYCLE_TYPES.values())
_OWNERS = {kind: _owners(kind) for kind in _KINDS}
_EVENT_OWNERS = _owners_of_families(EVENT_TYPES)
_LIFECYCLE_OWNERS = _owners_of_families(LIFECYCLE_TYPES)

Shape = Callable[[Any], bool]
_TYPES: dict[str, Shape] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def _shape(schema: Any, definitions: Mapping[str, Any]) -> Shape:  # noqa: PLR0911 - a case each
    """Whether a value has the members that a JSON Schema requires, each of its type.

    Identifiers are compared whole. Lengths, words and other patterns are rules of requests.
    """
    if not isinstance(schema, dict):
        return lambda _: True
    if "$ref" in schema:
        return _shape(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        choices = [_shape(each, definitions) for each in schema["anyOf"]]
        return lambda value: any(fits(value) for fits in choices)
    pattern = schema.get("pattern", "")
    if pattern[1:5].endswith("_") and pattern[5:].startswith("[0-7]"):
        fits_id = re.compile(pattern[1:-1]).fullmatch
        return lambda value: isinstance(value, str) and fits_id(value) is not None
    if schema.get("type") == "array":
        item = _shape(schema.get("items"), definitions)
        return lambda value: isinstance(value, list) and all(map(item, value))
    if schema.get("type") == "object":
        required = frozenset(schema.get("required", ()))
        members = {
            name: _shape(each, definitions) for name, each in schema.get("properties", {}).items()
        }
        other = _shape(schema.get("additionalProperties"), definitions)
        anything: Shape = lambda _: True  # noqa: E731
        if not isinstance(schema.get("additionalProperties"), dict):
            other = anything
        return lambda value: (
            isinstance(value, dict)
            and required <= value.keys()
            and all(members.get(name, other)(member) for name, member in value.items())
        )
    return _TYPES.get(schema.get("type", ""), lambda _: True)


def _shape_of_data(kind: Kind) -> Shape:
    schema = data_schema(kind)
    return _shape(schema, schema.get("$defs", {}))


_SHAPES = {kind: _shape_of_data(kind) for kind in _KINDS}
