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

from console.web import ForeignFormError, SignInRequiredError, Visit, delete_cookie, render

log = structlog.get_logger()

HTTP_TOO_LARGE = 413
_SOON = "Try again in {seconds:.0f} seconds."


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


async def _to_sign_in(request: Request, _: Exception) -> Response:
    """And back to where the person was, if that was a page."""
    query = ""
    if request.method == "GET" and request.url.path != "/":
        target = (
            f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        )
        query = "?" + urlencode({"next": target})
    response = RedirectResponse(f"/sign-in{query}", 303)
    delete_cookie(request, response)
    return response


async def _foreign_form(request: Request, _: Exception) -> Response:
    return _page(request, 403, "Nothing was changed",
                 "The form is older than your session, or another site has sent it. "
                 "Open the page again and repeat it.")  # fmt: skip


async def _no_sessions(request: Request, error: Exception) -> Response:
    log.warning("sessions_unavailable", error=type(error).__name__)
    return _page(request, 503, "Sign-in is not available",
                 "The console cannot read its sessions. Try again in a minute.")  # fmt: skip


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    title, detail = "It was refused", error.detail
    if isinstance(error, NotFoundError):
        title = "There is no such thing"
    elif isinstance(error, ForbiddenError):
        title = "Your key may not do this"
    elif isinstance(error, (RateLimitedError, UnavailableError)):
        title = "Not now"
        detail = f"{detail} {_SOON.format(seconds=error.retry_after or 1)}"
    return _page(request, error.status, title, detail, error.request_id)


async def _no_answer(request: Request, error: Exception) -> Response:
    log.warning("api_unavailable", error=type(error).__name__)
    return _page(request, 503, "The API does not answer",
                 "Nothing is known of what you asked for. `tenantry doctor` says what is wrong; "
                 "try again in a moment.")  # fmt: skip


async def _unrouted(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 422
    if status == HTTP_TOO_LARGE:
        return _page(request, status, "That is too large", "Send less at once.")
    return _page(request, status, "There is no such page", "The address leads nowhere.")


async def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("page_failed", path=request.url.path, exc_info=error)
    return _page(request, 500, "That was our fault", "The page failed. The log says why.")


def _page(
    request: Request, status: int, title: str, detail: str, request_id: str | None = None
) -> Response:
    visit: Visit | None = getattr(request.state, "visit", None)
    is_page = request.method == "GET"
    return render(
        request,
        "error.html",
        status,
        visit=visit,
        title=title,
        detail=detail,
        request_id=request_id,
        back=request.url.path if is_page else "/",
    )
