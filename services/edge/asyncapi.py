"""The AsyncAPI 3.0 document of the events: FastStream makes it from a publisher for each type.

It is made when it is first asked for, because FastStream's models of it take memory.
"""

from typing import Any

from chassis.telemetry import VERSION
from contracts.catalogue import EVENT_TYPES
from contracts.events import EventData
from contracts.evolution import event_schema
from contracts.examples import example_event
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel

_SERVER = "nats://nats.example.com:4222"
_DESCRIPTION = (
    "CloudEvents 1.0 in JSON, each published once its change is committed, at least once, in "
    "order for each resource. Webhooks carry the same body; services of one's own receive them on "
    "these subjects, as the NATS user `subscriber`."
)


def document() -> dict[str, Any]:
    """The whole document: a channel and an operation for each event type."""
    broker = NatsBroker(
        _SERVER, protocol_version=None, description="The NATS server of the installation."
    )
    for name, kind in EVENT_TYPES.items():
        description = (kind.__doc__ or "").strip()
        broker.publisher(kind.subject(), title=name, description=description, schema=_payload(kind))
    specification = AsyncAPI(
        broker, title="Tenantry events", version=VERSION, description=_DESCRIPTION
    )
    made: dict[str, Any] = specification.to_specification().to_jsonable()
    for message in made["components"]["messages"].values():
        del message["correlationId"]  # a header of FastStream's own publishers
    made["channels"] = dict(sorted(made["channels"].items()))
    made["operations"] = dict(sorted(made["operations"].items()))
    return made


def _payload(kind: type[EventData]) -> type[BaseModel]:
    """A model with the schema of the event, as it is frozen, and an example."""
    schema = event_schema(kind) | {"examples": [example_event(kind)]}
    # References are to this document: a name of its own would give the schema another base.
    del schema["$id"], schema["$schema"]

    class Payload(BaseModel):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return schema

    return Payload
