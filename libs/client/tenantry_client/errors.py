"""What can go wrong, in one tree. Only `TenantryError` need be caught.

TenantryError
├── NoAnswerError             nobody answered, or the answer broke off
├── UnexpectedAnswerError     an answer that is none of the API's: a proxy's, or a newer product's
├── InvalidSignatureError     a webhook that was not sent by the product, or too long ago
├── NotModifiedError          304: the resource is still the one you know
└── ProblemError              the product refused (RFC 9457); `code` says why
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

from collections.abc import Mapping
from typing import Any

import httpx


class TenantryError(Exception):
    """Anything that this client raises of its own."""


class NoAnswerError(TenantryError):
    """The connection failed, or broke before the answer was whole."""


class UnexpectedAnswerError(TenantryError):
    """An answer that the API's document does not know."""


class InvalidSignatureError(TenantryError):
    """A webhook's signature, or its time, is not right."""


class NotModifiedError(TenantryError):
    """The answer to `if_none_match` with a version that still stands."""


class ProblemError(TenantryError):
    """A refusal. `more` holds the members that only some problems have."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None) -> None:
        super().__init__(f"{status} {problem['code']}: {problem['detail']}")
        self.status = status
        self.code = str(problem["code"])
        self.detail = str(problem["detail"])
        self.request_id = str(problem["request_id"])
        self.trace_id = str(problem["trace_id"])
        self.errors: list[dict[str, str]] = problem.get("errors") or []
        self.retry_after = retry_after
        self.more = {name: value for name, value in problem.items() if name not in _EVERYWHERE}


class MalformedError(ProblemError):
    """400: the body could not be read."""


class UnauthenticatedError(ProblemError):
    """401: no credential, or one that is not good."""


class ForbiddenError(ProblemError):
    """403: the credential may not do this."""


class NotFoundError(ProblemError):
    """404: there is no such thing in this tenant."""


class ConflictError(ProblemError):
    """409 and 410: it cannot be done as things are."""


class VersionMismatchError(ProblemError):
    """412: the resource has changed since."""


class InvalidError(ProblemError):
    """422: `errors` names each field at fault."""


class RateLimitedError(ProblemError):
    """429: too many requests, and no time left to wait."""


class UnavailableError(ProblemError):
    """503 and 504: a part of the product is away."""


_EVERYWHERE = ("type", "title", "status", "detail", "code", "request_id", "trace_id", "errors")
_OF_STATUS = {
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


def refusal(response: httpx.Response) -> TenantryError:
    """The error that an answer of 400 and above is; its body must have been read."""
    status = response.status_code
    given = response.headers.get("Retry-After", "")
    retry_after = float(given) if given.isascii() and given.isdigit() else None
    try:
        problem = response.json()
        return _OF_STATUS.get(status, ProblemError)(status, problem, retry_after)
    except (ValueError, KeyError, TypeError):
        return UnexpectedAnswerError(f"{status} without a problem document")
