"""How far the deletion of a tenant is, until every service has confirmed it."""

from fastapi import APIRouter
from starlette.responses import Response
from tenantry_client import api
from tenantry_client.errors import NotFoundError

from console.place import Place
from console.resources import TENANTS
from console.web import SignedIn

router = APIRouter()


@router.get("/tenants/{id}/deletion")
async def show(visit: SignedIn, id: str) -> Response:
    place = Place(TENANTS, (), id)
    try:
        deletion = await visit.api(api.get_tenant_deletion(id))
    except NotFoundError:
        if await _exists(visit, id):
            return visit.go(place.path)
        deletion = None
    return visit.page("tenant_deletion.html", place=place, deletion=deletion)


async def _exists(visit: SignedIn, id: str) -> bool:
    try:
        await visit.api(api.get_tenant(id))
    except NotFoundError:
        return False
    return True
