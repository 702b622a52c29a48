"""The overview and the search: of a tenant for its credentials, of tenants for the operator."""

from chassis.request import json_bytes, validate_query
from contracts import overview, search
from contracts.catalogue import GET_OVERVIEW, SEARCH
from contracts.ids import is_id
from fastapi import APIRouter, Security
from starlette.responses import Response

from edge.auth.access import tenant_or_operator
from edge.call_route import CallRoute, Endpoint
from edge.gateway import AuthorizedRequest, Gateway
from edge.parts import OPERATOR, Part, ask_for_parts

TENANT_OR_OPERATOR = [Security(tenant_or_operator)]
NO_STORE = {"Cache-Control": "no-store"}

OVERVIEW = (
    Part(overview.GET_USERS_OVERVIEW, "users:read"),
    Part(overview.GET_ORGANIZATIONS_OVERVIEW, "organizations:read"),
    Part(overview.GET_PROJECTS_OVERVIEW, "projects:read"),
    Part(overview.GET_WEBHOOKS_OVERVIEW, "webhooks:read"),
    Part(overview.GET_EVENTS_OVERVIEW, "audit:read"),
    Part(overview.GET_TENANTS_OVERVIEW, OPERATOR),
)
BY_TEXT = (
    Part(search.SEARCH_USERS, "users:read"),
    Part(search.SEARCH_ORGANIZATIONS, "organizations:read"),
    Part(search.SEARCH_PROJECTS, "projects:read"),
    Part(search.SEARCH_TENANTS, OPERATOR),
)
BY_ID = {
    "usr": BY_TEXT[0],
    "ses": BY_TEXT[0],
    "org": BY_TEXT[1],
    "inv": BY_TEXT[1],
    "prj": BY_TEXT[2],
    "ten": BY_TEXT[3],
    "key": Part(search.SEARCH_API_KEYS, "api_keys:read"),
    "sgk": Part(search.SEARCH_SIGNING_KEYS, "signing_keys:read"),
    "whk": Part(search.SEARCH_WEBHOOKS, "webhooks:read"),
    "dlv": Part(search.SEARCH_WEBHOOKS, "webhooks:read"),
    "evt": Part(search.SEARCH_EVENTS, "audit:read"),
}
"""By the prefix of an identifier."""


async def get_overview(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """Counts, the events and the outcomes of deliveries by hour, and webhooks that fail. Each part
    needs the `:read` scope of what it counts, and is absent without it. The operator gets the
    number of tenants.
    """
    validate_query(request.route.call, request.context)
    calls = [part.call for part in OVERVIEW if part.may_be_read_by(request.principal)]
    answers, unavailable = await ask_for_parts(gateway, request.context, calls)
    value = {name: part for answer in answers for name, part in answer.items()}
    return _response(value | {"unavailable": unavailable})


async def find(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """What has the identifier, the email, the slug or the name, as far as the credential may read
    it. The operator searches tenants.
    """
    query = validate_query(request.route.call, request.context)
    assert isinstance(query, search.SearchQuery)
    prefix = query.q[:3]
    parts = (BY_ID[prefix],) if prefix in BY_ID and is_id(prefix, query.q) else BY_TEXT
    calls = [part.call for part in parts if part.may_be_read_by(request.principal)]
    answers, unavailable = await ask_for_parts(gateway, request.context, calls)
    results = [result for answer in answers for result in answer["results"]]
    return _response({"results": results, "unavailable": unavailable})


def _response(value: dict[str, object]) -> Response:
    return Response(json_bytes(value), media_type="application/json", headers=NO_STORE)


router = APIRouter(prefix="/v1", tags=["Overview"], route_class=CallRoute)

router.get("/admin/overview", summary="Get the overview", dependencies=TENANT_OR_OPERATOR)(
    Endpoint(GET_OVERVIEW, get_overview)
)
router.get("/admin/search", summary="Search for anything", dependencies=TENANT_OR_OPERATOR)(
    Endpoint(SEARCH, find)
)
