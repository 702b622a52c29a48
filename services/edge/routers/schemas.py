"""The schemas of events and of project settings, answered by the edge itself."""

from chassis.request import json_bytes, validate_query
from contracts.catalogue import EVENT_TYPES, GET_SETTINGS_SCHEMA, LIST_EVENT_TYPES
from contracts.evolution import data_schema
from contracts.examples import example_event
from contracts.projects import ProjectSettings
from fastapi import APIRouter, Security
from starlette.responses import Response

from edge.auth.access import tenant
from edge.call_route import CallRoute, Endpoint
from edge.gateway import AuthorizedRequest, Gateway

TENANT = [Security(tenant)]

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


async def list_event_types(_: Gateway, request: AuthorizedRequest) -> Response:
    return _json_response(_EVENT_TYPES, request)


async def get_settings_schema(_: Gateway, request: AuthorizedRequest) -> Response:
    return _json_response(_SETTINGS, request)


def _json_response(body: bytes, request: AuthorizedRequest) -> Response:
    validate_query(request.route.call, request.context)
    return Response(body, media_type="application/json")


router = APIRouter(prefix="/v1", tags=["Schemas"], route_class=CallRoute)

router.get("/admin/event-types", summary="List event types", dependencies=TENANT)(
    Endpoint(LIST_EVENT_TYPES, list_event_types)
)
router.get(
    "/admin/projects/settings-schema",
    summary="Get the schema of project settings",
    dependencies=TENANT,
)(Endpoint(GET_SETTINGS_SCHEMA, get_settings_schema))
