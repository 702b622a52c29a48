"""What a person sees of an error: what happened, and what to do, in the words of the API."""

from urllib.parse import urlencode

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from tenantry_client.errors import (
    ForbiddenError,
    NotFoundError,
    ProblemError,
    RateLimitedError,
    TenantryError,
    UnauthenticatedError,
    UnavailableError,
)

from console.refusals import NO_ANSWER, said
from console.web import (
    ForeignFormError,
    SignInRequiredError,
    Visit,
    delete_cookie,
    kept_of,
    render,
)

log = structlog.get_logger()

HTTP_NOT_FOUND, HTTP_TOO_LARGE = 404, 413
ENDED = "Your session has ended. Nothing was changed; what you typed is kept until you sign in."


def add_error_pages(app: FastAPI) -> None:
    """A page for whatever a handler raises."""
    app.add_exception_handler(SignInRequiredError, _to_sign_in)
    app.add_exception_handler(UnauthenticatedError, _to_sign_in)
    app.add_exception_handler(ForeignFormError, _foreign_form)
    app.add_exception_handler(RedisError, _no_sessions)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(TenantryError, _no_answer)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(RequestValidationError, _unrouted)
    app.add_exception_handler(Exception, _unforeseen)


async def _to_sign_in(request: Request, error: Exception) -> Response:
    """And back to where the person was, with what was typed there."""
    visit: Visit | None = getattr(request.state, "visit", None)
    if visit and visit.session.open and isinstance(error, UnauthenticatedError):
        await visit.open(None)  # the tenant is gone, not the operator
        return visit.go("/tenants")
    if kept := kept_of(request):
        response = render(
            request, "sign_in.html", 401, error=ENDED, next=kept.path, kept=kept.model_dump_json()
        )
        delete_cookie(request, response)
        return response
    path = request.url.path
    query = ""
    if path not in ("/", "/sign-out", "/leave"):
        has_query = request.method == "GET" and request.url.query
        query = "?" + urlencode({"next": f"{path}?{request.url.query}" if has_query else path})
    redirect = RedirectResponse(f"/sign-in{query}", 303)
    delete_cookie(request, redirect)
    return redirect


async def _foreign_form(request: Request, _: Exception) -> Response:
    visit: Visit | None = getattr(request.state, "visit", None)
    is_in_one_tenant = visit and visit.session.kind == "tenant"
    if visit and is_in_one_tenant and (kept := kept_of(request)):
        return visit.page("resend.html", 403, kept=kept)
    return _page(request, 403, "Nothing was changed",
                 "The form is older than your session, or another site has sent it. "
                 "Open the page again and repeat it.")  # fmt: skip


async def _no_sessions(request: Request, error: Exception) -> Response:
    log.warning("sessions_unavailable", error=type(error).__name__)
    return _page(request, 503, "Not now",
                 "Nothing was changed: the console cannot read who is signed in. "
                 "Try again in a minute.", again=True)  # fmt: skip


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    title, headers, is_for_now = "It was refused", {}, False
    if isinstance(error, NotFoundError):
        title = "There is no such thing"
    elif isinstance(error, ForbiddenError):
        title = "Your key may not do this"
    elif isinstance(error, (RateLimitedError, UnavailableError)):
        title, is_for_now = "Not now", True
        headers = {"Retry-After": f"{error.retry_after or 1:.0f}"}
    response = _page(
        request, error.status, title, said(error), request_id=error.request_id, again=is_for_now
    )
    response.headers.update(headers)
    return response


async def _no_answer(request: Request, error: Exception) -> Response:
    log.warning("api_unavailable", error=type(error).__name__)
    return _page(request, 503, "The API does not answer",
                 "Nothing is known of what you asked for. `tenantry doctor` says what is wrong; "
                 "try again in a moment.", again=True)  # fmt: skip


async def late_page(request: Request) -> Response:
    """In the place of a page that was not made in time."""
    log.warning("page_late", path=request.url.path)
    kept, detail = kept_of(request), "Try again in a moment."
    if request.method == "POST":
        detail = "It may have been done: look at what there is now, before you try again."
    if kept and kept.is_done_once:
        detail = NO_ANSWER
    return _page(request, 503, "That took too long", detail, again=True)


async def _unrouted(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 422
    if status == HTTP_TOO_LARGE:
        return _page(request, status, "That is too large", "Send less at once.")
    return _page(request, status, "There is no such page", "The address leads nowhere.")


async def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("page_failed", path=request.url.path, exc_info=error)
    return _page(request, 500, "That was our fault", "The page failed. The log says why.",
                 again=True)  # fmt: skip


def _page(
    request: Request,
    status: int,
    title: str,
    detail: str,
    *,
    request_id: str | None = None,
    again: bool = False,
) -> Response:
    """With what was typed; `again`: sending the same once more may help."""
    visit: Visit | None = getattr(request.state, "visit", None)
    return render(
        request,
        "error.html",
        status,
        visit=visit,
        title=title,
        detail=detail,
        request_id=request_id,
        kept=kept_of(request),
        again=again,
        back=request.url.path if request.method == "GET" and status != HTTP_NOT_FOUND else "/",
    )
