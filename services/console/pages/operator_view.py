"""The operator's view into a tenant: entered from its page, left by the banner of every page."""

from fastapi import APIRouter
from starlette.responses import Response

from console.web import SignedIn

router = APIRouter()


@router.post("/tenants/{id}/open")
async def enter(visit: SignedIn, id: str) -> Response:
    await visit.form()
    await visit.open(await visit.token_for(id))
    return visit.go("/")


@router.post("/leave")
async def leave(visit: SignedIn) -> Response:
    """Back to the page of the tenant."""
    await visit.form()
    tenant = visit.session.open
    await visit.open(None)
    return visit.go(f"/tenants/{tenant.id}" if tenant else "/")
