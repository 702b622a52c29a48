"""All errors, in one tree. To catch them all, catch `TenantryError`.

TenantryError
├── NotSentError              no HTTP request can carry the URL, the key or a value
├── NoResponseError           no connection, or it broke before the response was complete
├── UnexpectedResponseError   not a response of the API: that of a proxy, or of a newer product
├── InvalidSignatureError     a webhook that the product did not send, or sent too long ago
├── NotModifiedError          304: the resource still has the version that you know
└── ProblemError              the product refused the request (RFC 9457); `code` says why
    ├── MalformedError        400
    ├── UnauthenticatedError  401
    ├── ForbiddenError        403
    ├── NotFoundError         404
    ├── ConflictError         409 and 410
    ├── VersionMismatchError  412
    ├── InvalidError          422; `errors` names the fields
    ├── RateLimitedError      429; `retry_after` in seconds
    └── UnavailableError      503 and 504
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError


class TenantryError(Exception):
    """Any error of this client."""


class NotSentError(TenantryError):
    """Nothing was sent: HTTP cannot carry the URL, the key, an identifier, a header or a body, or
    this machine's settings for proxies and certificates are wrong.
    """


class NoResponseError(TenantryError):
    """The connection failed, or broke before the response was complete."""


class UnexpectedResponseError(TenantryError):
    """A response that the API's OpenAPI document does not describe. `status` is None for a webhook
    or a part of a response.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class InvalidSignatureError(TenantryError):
    """The signature of a webhook is wrong, or its time is."""


class NotModifiedError(TenantryError):
    """The response to `if_none_match`, if the resource still has that version."""


class Problem(BaseModel):
    """The members of a problem document that the client reads."""

    model_config = ConfigDict(extra="allow")

    code: str
    detail: str
    request_id: str
    trace_id: str
    errors: list[dict[str, str]] | None = None
    errors_omitted: int | None = None


class ProblemError(TenantryError):
    """The product refused the request. `errors` are 20 at most, `errors_omitted` says how many more
    there are; `more` holds the members that only some problems have.
    """

    def __init__(self, status: int, problem: Problem, retry_after: float | None) -> None:
        super().__init__(f"{status} {problem.code}: {problem.detail}")
        self.status = status
        self.code = problem.code
        self.detail = problem.detail
        self.request_id = problem.request_id
        self.trace_id = problem.trace_id
        self.errors = problem.errors or []
        self.errors_omitted = problem.errors_omitted or 0
        self.retry_after = retry_after
        others = problem.model_extra or {}
        self.more = {name: value for name, value in others.items() if name not in _OF_EVERY_PROBLEM}


class MalformedError(ProblemError):
    """400: the request could not be read."""


class UnauthenticatedError(ProblemError):
    """401: no credential, or not a valid one."""


class ForbiddenError(ProblemError):
    """403: the credential may not do this."""


class NotFoundError(ProblemError):
    """404: this tenant has no such resource."""


class ConflictError(ProblemError):
    """409 and 410: the state of the resource does not allow it."""


class VersionMismatchError(ProblemError):
    """412: the resource has changed since that version."""


class InvalidError(ProblemError):
    """422: `errors` names each field that is wrong."""


class RateLimitedError(ProblemError):
    """429: too many requests, also after the retries."""


class UnavailableError(ProblemError):
    """503 and 504: a part of the product is not available."""


_OF_EVERY_PROBLEM = ("type", "title", "status")
_BY_STATUS = {
    400: MalformedError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ConflictError,
    412: VersionMismatchError,
    422: InvalidError,
    429: RateLimitedError,
    503: UnavailableError,
    504: UnavailableError,
}


def error_from(response: httpx.Response) -> TenantryError:
    """The error of a response of 400 and above, whose body must have been read."""
    status = response.status_code
    header = response.headers.get("Retry-After", "")
    retry_after = float(header) if header.isascii() and header.isdigit() else None
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return UnexpectedResponseError(
            f"the response was {status}, without a problem document", status
        )
    return _BY_STATUS.get(status, ProblemError)(status, problem, retry_after)


def error_of(failure: httpx.RequestError) -> TenantryError:
    """The error of what httpx raises when it sends a request or reads its response."""
    reason = str(failure) or type(failure).__name__
    if isinstance(failure, httpx.TransportError):
        return NoResponseError(reason)
    return UnexpectedResponseError(reason)  # it cannot be decoded, or redirects without end


@contextmanager
def refuse_unsendable() -> Iterator[None]:
    """What HTTP or JSON cannot carry becomes NotSentError; so do settings that are wrong."""
    try:
        yield
    except (httpx.InvalidURL, TypeError, ValueError, OSError) as error:
        raise NotSentError(str(error)) from error
