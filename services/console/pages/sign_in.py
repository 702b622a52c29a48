"""Signing in with a key or a one-time link, and signing out."""

from contracts.tenants import TenantsQuery
from fastapi import APIRouter, Request
from redis.exceptions import RedisError
from starlette.responses import RedirectResponse, Response
from tenantry_client import AsyncClient, api
from tenantry_client.errors import (
    ForbiddenError,
    NotSentError,
    TenantryError,
    UnauthenticatedError,
)

from console.sent_forms import KeptForm, came_from_here, local_path, read_kept
from console.sign_in import Sessions
from console.web import (
    Edge,
    ForeignFormError,
    SignedIn,
    Visit,
    delete_cookie,
    render,
    set_cookie,
)

WRONG = "This key does not work. Check that it is a secret key that is neither revoked nor expired."
USED_LINK = "This link was used before, or is older than ten minutes. Sign in with a key."
NOT_NOW = "Nobody can be signed in now. Try again in a minute; what you typed is kept."

router = APIRouter()


@router.get("/sign-in")
async def show(request: Request, next: str = "/", link: str | None = None) -> Response:
    """The form; with the token of a one-time link it signs in."""
    if link is None:
        return _form(request, next)
    credential = await _sessions(request).use_link_token(link)
    if credential is None:
        return _form(request, next, USED_LINK, 401)
    return await _begin(request, credential, next)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    if not came_from_here(request):
        raise ForeignFormError
    form = await request.form()
    key = str(form.get("key", "")).strip()
    return await _begin(request, key, str(form.get("next", "/")), read_kept(form.get("kept")))


@router.post("/sign-out")
async def sign_out(visit: SignedIn) -> Response:
    await visit.form()
    await _sessions(visit.request).end(visit.session)
    response = RedirectResponse("/sign-in", 303)
    delete_cookie(visit.request, response)
    return response


async def _begin(request: Request, key: str, target: str, kept: KeptForm | None = None) -> Response:
    """Leads on to the target; with a form that was kept, to that."""
    edge: Edge = request.app.state.edge
    if not key:
        return _form(request, target, WRONG, 401, kept)
    try:
        client = edge.client(key, request)
        credential_id, tenant, scopes = await _look_up(client)
        session, cookie = await _sessions(request).begin(key, credential_id, tenant, scopes)
    except (UnauthenticatedError, ForbiddenError, NotSentError):
        return _form(request, target, WRONG, 401, kept)
    except (TenantryError, RedisError):
        if kept is None:
            raise
        return _form(request, target, NOT_NOW, 503, kept)
    if kept is not None:
        return Visit(request, session, cookie, client).page("resend.html", kept=kept)
    response = RedirectResponse(local_path(target), 303)
    set_cookie(request, response, cookie)
    return response


async def _look_up(
    client: AsyncClient,
) -> tuple[str | None, tuple[str, str] | None, list[str]]:
    """The id of the key, its tenant's id and name, and its scopes. Raises TenantryError."""
    try:
        who = await client(api.who_am_i())
    except ForbiddenError:  # the operator is of no tenant
        await client(api.list_tenants(TenantsQuery(limit=1)))
        return None, None, []
    credential = who.credential
    return credential.id, (who.tenant.id, who.tenant.name), list(credential.scopes)


def _form(
    request: Request,
    target: str,
    error: str | None = None,
    status: int = 200,
    kept: KeptForm | None = None,
) -> Response:
    carried = kept.model_dump_json() if kept else None
    return render(
        request, "sign_in.html", status, error=error, next=local_path(target), kept=carried
    )


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions
