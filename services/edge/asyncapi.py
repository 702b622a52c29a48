"""The AsyncAPI 3.0 document of the events, made from the same register as everything else."""

from functools import lru_cache
from typing import Any

from chassis.telemetry import VERSION
from contracts.catalogue import EVENT_TYPES
from contracts.events import EventData, event_subject
from contracts.evolution import event_schema
from contracts.examples import example_event

_DRAFT = "application/schema+json;version=draft-2020-12"


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The whole document: a channel for each event type."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tenantry events",
            "version": VERSION,
            "description": "CloudEvents 1.0 in JSON, each published once its change is committed, "
            "at least once, in order for each resource. Webhooks carry the same body; services of "
            "one's own hear them on these addresses, as the NATS user `subscriber`.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(kind) for name, kind in sorted(EVENT_TYPES.items())},
        "operations": {
            f"send-{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
            for name in sorted(EVENT_TYPES)
        },
    }


def _channel(kind: type[EventData]) -> dict[str, Any]:
    return {
        "address": event_subject(kind.service, kind.type),
        "messages": {
            "event": {
                "name": kind.type,
                "summary": (kind.__doc__ or "").strip(),
                "payload": {"schemaFormat": _DRAFT, "schema": event_schema(kind)},
                "examples": [{"payload": example_event(kind)}],
            }
        },
    }
