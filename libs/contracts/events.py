"""Events on the wire: CloudEvents 1.0 in JSON, and the register of all types.

A new event is one class here and one `record` call at its owner; audit and webhooks need nothing.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from typing import Any, ClassVar, Final

from pydantic import BaseModel, Field

from contracts.context import ActorType
from contracts.fields import Instant
from contracts.ids import EventId, TenantId
from contracts.models import Resource
from contracts.topology import EVENTS_PREFIX

CONTENT_TYPE: Final = "application/cloudevents+json"

ADDRESS_HEADER = "Tenantry-Ip-Address"
AGENT_HEADER = "Tenantry-User-Agent"
"""Personal data for the audit trail alone travels beside the event; the agent as a JSON string."""


class Event(BaseModel):
    """The envelope. `subject` is the identifier of the resource that changed."""

    specversion: str = Field(default="1.0", examples=["1.0"])
    id: EventId
    source: str = Field(examples=["tenantry/identity"])
    type: str = Field(examples=["organization.created"])
    subject: str = Field(examples=["org_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    time: Instant
    datacontenttype: str = Field(default="application/json", examples=["application/json"])
    tenantid: TenantId
    actortype: ActorType = Field(examples=["api_key"])
    actorid: str | None = Field(examples=["key_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    requestid: str = Field(examples=["req_9f2c"])
    traceparent: str = Field(examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
    data: dict[str, Any]


class Change(Resource):
    """The values of a field before and after."""

    from_: Any = Field(alias="from")
    to: Any


Changes = dict[str, Change]


class EventData(Resource):
    """The `data` of one event type, which `service` publishes; a subclass registers itself."""

    type: ClassVar[str]
    service: ClassVar[str]

    def __init_subclass__(cls, *, type: str, service: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.type = type
        cls.service = service
        EVENT_TYPES[type] = cls

    @classmethod
    def subject(cls) -> str:
        """Where it is published."""
        return event_subject(cls.service, cls.type)


EVENT_TYPES: dict[str, type[EventData]] = {}
"""Every event type that a tenant can hear, filled by `contracts.catalogue`."""


def event_subject(service: str, event_type: str) -> str:
    """Where an event is published."""
    return f"{EVENTS_PREFIX}.{service}.{event_type}"


def matches(pattern: str, event_type: str) -> bool:
    """Whether `*`, `organization.*` or an exact type covers `event_type`."""
    return pattern in ("*", event_type) or (
        pattern.endswith(".*") and event_type.startswith(pattern[:-1])
    )
