"""The types of event; each with its schema and an example."""

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response
from tenantry_client import api

from console.web import SignedIn

router = APIRouter(prefix="/event-types")


@router.get("")
async def show_list(visit: SignedIn) -> Response:
    types = (await visit.api(api.list_event_types())).event_types
    return visit.page("event_types.html", types=types)


@router.get("/{name}")
async def show_one(visit: SignedIn, name: str) -> Response:
    types = (await visit.api(api.list_event_types())).event_types
    for each in types:
        if each.type == name:
            return visit.page("event_type.html", type=each)
    raise HTTPException(404)
