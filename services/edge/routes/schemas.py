"""What integrators look up: event types and the schema of settings. Answered by the edge."""

from chassis.request import json_bytes
from contracts.catalogue import EVENT_TYPES, GET_SETTINGS_SCHEMA, LIST_EVENT_TYPES
from contracts.evolution import data_schema
from contracts.examples import example_event
from contracts.problems import invalid
from contracts.projects import ProjectSettings
from starlette.responses import Response

from edge.gateway import Asked, Gateway
from edge.route import TENANT, Route

_EVENT_TYPES = json_bytes(
    {
        "event_types": [
            {
                "type": name,
                "description": (kind.__doc__ or "").strip(),
                "schema": data_schema(kind),
                "example": example_event(kind),
            }
            for name, kind in sorted(EVENT_TYPES.items())
        ]
    }
)
_SETTINGS = json_bytes({"schema": ProjectSettings.model_json_schema()})


def _document(body: bytes, asked: Asked) -> Response:
    for name, _ in asked.context.query:
        raise invalid(name, "is not known here: check its spelling", "unknown")
    return Response(body, media_type="application/json")


async def event_types(_: Gateway, asked: Asked) -> Response:
    return _document(_EVENT_TYPES, asked)


async def settings_schema(_: Gateway, asked: Asked) -> Response:
    return _document(_SETTINGS, asked)


ROUTES = [
    Route("GET", "/v1/admin/event-types", LIST_EVENT_TYPES, TENANT, "List event types",
          handler=event_types),
    Route("GET", "/v1/admin/projects/settings-schema", GET_SETTINGS_SCHEMA, TENANT,
          "Get the schema of project settings", handler=settings_schema),
]  # fmt: skip
