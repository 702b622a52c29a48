"""All errors, in one tree. To catch them all, catch `TenantryError`.

TenantryError
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

from collections.abc import Mapping
from typing import Any

import httpx


class TenantryError(Exception):
    """Any error of this client."""


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


class ProblemError(TenantryError):
    """The product refused the request. `errors` are 20 at most, `errors_omitted` says how many more
    there are; `more` holds the members that only some problems have.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None) -> None:
        super().__init__(f"{status} {problem['code']}: {problem['detail']}")
        self.status = status
        self.code = str(problem["code"])
        self.detail = str(problem["detail"])
        self.request_id = str(problem["request_id"])
        self.trace_id = str(problem["trace_id"])
        self.errors: list[dict[str, str]] = problem.get("errors") or []
        self.errors_omitted: int = problem.get("errors_omitted") or 0
        self.retry_after = retry_after
        self.more = {name: value for name, value in problem.items() if name not in _COMMON_MEMBERS}


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


_COMMON_MEMBERS = (
    "type", "title", "status", "detail", "code", "request_id", "trace_id", "errors",
    "errors_omitted",
)  # fmt: skip
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
        problem = response.json()
        return _BY_STATUS.get(status, ProblemError)(status, problem, retry_after)
    except (ValueError, KeyError, TypeError):
        return UnexpectedResponseError(
            f"the response was {status}, without a problem document", status
        )
