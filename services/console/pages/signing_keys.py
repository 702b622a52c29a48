"""The signing keys of a project as a timeline, and the key set that verifiers see."""

import asyncio
from typing import Any

from contracts.models import ListQuery
from fastapi import APIRouter
from starlette.responses import Response
from tenantry_client import api

from console.calls import query_of
from console.place import Place
from console.resources import PROJECTS, SIGNING_KEYS
from console.web import SignedIn

router = APIRouter()


@router.get("/projects/{id}/signing-keys")
async def show(visit: SignedIn, id: str) -> Response:
    given: dict[str, Any] = {n: v for n, v in visit.request.query_params.items() if v}
    query, _ = query_of(ListQuery, given)
    page, jwks = await asyncio.gather(
        visit.api(api.list_signing_keys(id, query)), visit.api(api.get_jwks(id))
    )
    return visit.page(
        "signing_keys.html",
        place=Place(SIGNING_KEYS, ((PROJECTS, id),)),
        rows=page.signing_keys,
        pagination=page.pagination,
        filters=[],
        given=given,
        jwks=jwks,
    )
