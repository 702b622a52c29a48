"""A request to the console: who it is of, the API as that person, and the pages that answer it.

Changes come by POST alone, with the token of the session in the form, from a page of the console.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import httpx
from fastapi import Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.responses import HTMLResponse, RedirectResponse, Response
from tenantry_client import AsyncClient, RetryPolicy, api
from tenantry_client.errors import NotFoundError, TenantryError, UnauthenticatedError

from console.presentation import FILTERS, place_of
from console.resources import TOP, Resource
from console.sent_forms import FORM_TOKEN, MAX_FIELDS, KeptForm, came_from_here, keep_form
from console.sign_in import OpenTenant, Session, Sessions

COOKIE = "tenantry_console"
_HOST_PREFIX = "__Host-"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
PATIENT_SECONDS = 60.0
RENEW_SECONDS = 5 * 60
"""So long before its end the operator's token for a tenant is replaced."""

OPERATOR = "operator"
MENU = (
    ("Overview", "/", None),
    *(
        (each.title, f"/{each.path}", OPERATOR if each.operator else f"{each.scope}:read")
        for each in TOP
    ),
    ("Audit", "/audit", "audit:read"),
    ("Event types", "/event-types", "webhooks:read"),
)
"""Title, path, and the scope that it needs."""
NOTICES = {
    "created": "It was created.",
    "updated": "It was saved.",
    "deleted": "It is gone.",
    "done": "It was done.",
}

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters.update(FILTERS)


class SignInRequiredError(Exception):
    """Nobody is signed in, or not any more."""


class ForeignFormError(Exception):
    """A form that this console did not show in this session."""


@dataclass(frozen=True)
class Edge:
    """Where the API is, over connections that all share. `headers` go with every call; credentials
    are given with each.
    """

    url: str
    transport: httpx.AsyncBaseTransport
    timeout: float
    headers: Mapping[str, str]

    def http(
        self, timeout: float | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.AsyncClient:
        """A client over the shared connections, which need not be closed."""
        return httpx.AsyncClient(
            base_url=self.url,
            transport=_Shared(self.transport),
            trust_env=False,
            timeout=timeout or self.timeout,
            headers={**(headers or {}), **self.headers},
        )

    def client(
        self, credential: str, request: Request, timeout: float | None = None
    ) -> AsyncClient:
        """The API as whoever sends the request, and in its trace. Calls are not repeated: a person
        is waiting.
        """
        headers = {
            "User-Agent": "tenantry-console",
            "X-Forwarded-For": client_of(request),
            "Cache-Control": "no-cache",  # lists show what this person has just changed
        }
        if traceparent := getattr(request.state, "traceparent", None):
            headers["traceparent"] = traceparent
        http = self.http(timeout, headers)
        return AsyncClient(self.url, credential, retry_policy=RetryPolicy(tries=1), http=http)

    async def health(self, address: str) -> dict[str, Any]:
        """The report of `GET /health` for somebody at that address, whatever its status."""
        try:
            async with self.http(headers={"X-Forwarded-For": address}) as http:
                report: dict[str, Any] = (await http.get("/health")).json()
        except (httpx.HTTPError, ValueError):
            return {"status": "down", "checks": {}}
        return report if "checks" in report else {"status": "unknown", "checks": {}}


class _Shared(httpx.AsyncBaseTransport):
    """A transport that outlives the client that uses it."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


@dataclass
class Visit:
    """One request of somebody who is signed in."""

    request: Request
    session: Session
    cookie: str
    api: AsyncClient

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """The page of a template, which gets the visit and the values."""
        return self._with_cookie(render(self.request, template, status, visit=self, **values))

    def go(self, path: str, **query: str) -> Response:
        """To another page: what a POST ends with, so that reloading does nothing twice."""
        target = f"{path}?{urlencode(query)}" if query else path
        return self._with_cookie(RedirectResponse(target, 303))

    async def form(self) -> FormData:
        """The form that was sent. Raises ForeignFormError."""
        form = await self.request.form(max_fields=MAX_FIELDS)
        if form.get(FORM_TOKEN) != self.session.form_token or not came_from_here(self.request):
            raise ForeignFormError
        return form

    def patient_api(self) -> AsyncClient:
        """For what lasts: an import, a file, what is followed live."""
        edge: Edge = self.request.app.state.edge
        return edge.client(self.session.bearer, self.request, PATIENT_SECONDS)

    async def open(self, tenant: OpenTenant | None) -> None:
        """Enters a tenant as the operator; leaves it with None."""
        sessions: Sessions = self.request.app.state.sessions
        self.session = self.session.model_copy(update={"open": tenant})
        self.cookie = await sessions.change(self.session)
        self.api = self._client(self.session.bearer)

    async def token_for(self, tenant_id: str) -> OpenTenant:
        """The tenant as the operator sees it for some minutes. Raises TenantryError."""
        issued = await self._client(self.session.credential)(api.issue_operator_token(tenant_id))
        who = await self._client(issued.access_token)(api.who_am_i())
        return OpenTenant(
            id=tenant_id,
            name=who.tenant.name,
            token=issued.access_token,
            scopes=tuple(who.credential.scopes),
            expires_at=time.time() + issued.expires_in,
        )

    def _client(self, credential: str) -> AsyncClient:
        edge: Edge = self.request.app.state.edge
        return edge.client(credential, self.request)

    @property
    def menu(self) -> list[tuple[str, str]]:
        """The pages that the credential may read: their titles and paths."""
        return [(title, path) for title, path, scope in MENU if self._may_read(scope)]

    def is_in(self, path: str) -> bool:
        """Whether the page belongs to the one of the menu."""
        here = self.request.url.path
        return here == path or (path != "/" and here.startswith(f"{path}/"))

    def may_open(self, id: str) -> bool:
        """Whether the credential may read the page of the resource with that id."""
        place = place_of(id) or ""
        return any(place.startswith(f"{path}/") for _, path in self.menu)

    def may_change(self, resource: Resource) -> bool:
        if resource.operator:
            return self.session.is_operator
        return self.session.may(f"{resource.scope}:write")

    @property
    def notice(self) -> str | None:
        """What the page before has done."""
        return NOTICES.get(self.request.query_params.get("done", ""))

    def _may_read(self, scope: str | None) -> bool:
        if scope is None:
            return True
        if scope == OPERATOR:
            return self.session.is_operator
        return self.session.may(scope)

    def _with_cookie(self, response: Response) -> Response:
        set_cookie(self.request, response, self.cookie)
        return response


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page for anybody."""
    body = TEMPLATES.get_template(template).render({"request": request, "visit": None, **values})
    return HTMLResponse(body, status)


async def signed_in(request: Request) -> Visit:
    """The visit of whoever sends the request. Raises SignInRequiredError, RedisError.

    A form is read first: whatever fails from here on, what was typed is shown again.
    """
    request.state.kept = await keep_form(request)
    sessions: Sessions = request.app.state.sessions
    found = await sessions.find(request.cookies.get(cookie_name(request), ""))
    if found is None:
        raise SignInRequiredError
    session, cookie = found
    edge: Edge = request.app.state.edge
    visit = Visit(request, session, cookie, edge.client(session.bearer, request))
    request.state.visit = visit
    await _renew_token(visit)
    return visit


async def _renew_token(visit: Visit) -> None:
    """Before it ends, while somebody is there. A tenant that is gone is left.

    Raises TenantryError where the old one has ended and there is no new one now: the tenant stays
    open, for when there is.
    """
    tenant = visit.session.open
    if tenant is None or tenant.expires_at - time.time() > RENEW_SECONDS:
        return
    try:
        await visit.open(await visit.token_for(tenant.id))
    except NotFoundError:
        await visit.open(None)
    except UnauthenticatedError:
        raise SignInRequiredError from None
    except TenantryError:
        if tenant.expires_at <= time.time():
            raise


SignedIn = Annotated[Visit, Depends(signed_in)]


def kept_of(request: Request) -> KeptForm | None:
    """The form that came with a request, as far as it was read."""
    kept: KeptForm | None = getattr(request.state, "kept", None)
    return kept


def client_of(request: Request) -> str:
    """The person's address, as the audit trail will have it."""
    return request.client.host if request.client else ""


def cookie_name(request: Request) -> str:
    return COOKIE if _is_loopback(request) else _HOST_PREFIX + COOKIE


def set_cookie(request: Request, response: Response, value: str) -> None:
    """Without a lifetime: it goes with the browser's session."""
    response.set_cookie(
        cookie_name(request),
        value,
        secure=not _is_loopback(request),
        httponly=True,
        samesite="strict",
    )


def delete_cookie(request: Request, response: Response) -> None:
    response.delete_cookie(
        cookie_name(request), secure=not _is_loopback(request), httponly=True, samesite="strict"
    )


def _is_loopback(request: Request) -> bool:
    return request.url.hostname in _LOOPBACK
