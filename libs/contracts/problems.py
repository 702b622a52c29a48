"""What can go wrong, in one table: a stable code, its HTTP status and its title.

The only file that knows statuses of errors. A `Problem` becomes an RFC 9457 body, whose size does
not grow with that of the request.
"""

from collections.abc import Mapping, Sequence
from typing import Any

PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed_request": (400, "The request is not valid HTTP"),
    "malformed_json": (400, "The body is not valid JSON"),
    "invalid_request": (400, "The token request is not valid"),
    "invalid_scope": (400, "The requested scope is not available"),
    "unsupported_grant_type": (400, "The grant type is not supported"),
    "unauthenticated": (401, "A valid credential is needed"),
    "invalid_client": (401, "The client could not be authenticated"),
    "insufficient_scope": (403, "The credential lacks a scope"),
    "tenant_suspended": (403, "The tenant is suspended"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "request_timeout": (408, "The body came too slowly"),
    "slug_taken": (409, "The slug is taken"),
    "email_taken": (409, "The email is taken"),
    "username_taken": (409, "The username is taken"),
    "external_id_taken": (409, "The external id is taken"),
    "already_member": (409, "Already a member"),
    "member_limit_reached": (409, "The organization is full"),
    "last_owner": (409, "An organization needs an owner"),
    "invitation_pending": (409, "An invitation is pending"),
    "user_suspended": (409, "The user is suspended"),
    "rotation_too_soon": (409, "The next key is not yet known everywhere"),
    "key_not_active": (409, "The key is not active"),
    "last_root_key": (409, "A tenant needs a root key"),
    "checkpoint_pending": (409, "The checkpoint is still to come"),
    "webhook_disabled": (409, "The webhook is disabled"),
    "quota_exceeded": (409, "The quota is used up"),
    "idempotency_in_flight": (409, "The first request is still in flight"),
    "invitation_closed": (410, "The invitation is closed"),
    "version_mismatch": (412, "The resource has changed"),
    "payload_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "Unsupported media type"),
    "validation_failed": (422, "The request is not valid"),
    "idempotency_key_reused": (422, "The idempotency key was used for another request"),
    "rate_limited": (429, "Too many requests"),
    "header_fields_too_large": (431, "The headers are too large"),
    "internal_error": (500, "Something went wrong on our side"),
    "service_unavailable": (503, "A part of the service is not available"),
    "upstream_timeout": (504, "A part of the service did not answer in time"),
}
"""`invitation_closed` is 410 for an accepted token, 409 where a caller names the invitation."""


MAX_ERRORS = 20
MAX_TEXT = 300
"""Characters of a field's path, and of a sentence: a path has what the caller sent in it."""


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """A request that cannot be done, said to the caller.

    `code` is a key of PROBLEMS; `detail` one sentence that tells what to do; `errors` the fields at
    fault, of which `errors_count` were found if not all of them are given; `extra` further members
    of the body (`retry_after` becomes a header too).
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        errors_count: int | None = None,
        status: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = errors
        self.errors_count = len(errors) if errors_count is None else errors_count
        self.extra = extra
        self.status = status or PROBLEMS[code][0]

    def body(self, request_id: str, trace_id: str) -> dict[str, Any]:
        """The members of the `application/problem+json` document."""
        body: dict[str, Any] = {
            "type": f"urn:tenantry:problem:{self.code}",
            "title": PROBLEMS[self.code][1],
            "status": self.status,
            "detail": _shortened(self.detail),
            "code": self.code,
            "request_id": request_id,
            "trace_id": trace_id,
        }
        return body | list_errors(self.errors, self.errors_count) | self.extra


def list_errors(errors: Sequence[Mapping[str, str]], count: int) -> dict[str, Any]:
    """The members `errors`, at most MAX_ERRORS, and `errors_omitted` if `count` is more."""
    if not errors:
        return {}
    shown = [
        {name: _shortened(text) for name, text in each.items()} for each in errors[:MAX_ERRORS]
    ]
    omitted = count - len(shown)
    return {"errors": shown, "errors_omitted": omitted} if omitted else {"errors": shown}


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def not_found() -> Problem:
    """The one answer for what is absent, malformed or another tenant's (contract section 1)."""
    return Problem("not_found", "There is no such resource. Check the identifier.")


def unauthenticated() -> Problem:
    """One and the same answer, whatever is wrong with the credential."""
    return Problem(
        "unauthenticated",
        "Send `Authorization: Bearer <credential>` with a secret API key that is active, "
        "or an access token made for one.",
    )


def invalid(field: str, message: str, code: str = "invalid_value") -> Problem:
    """A 422 about one field, found only after the form was valid."""
    error = {"field": field, "code": code, "message": message}
    return Problem("validation_failed", f"{field}: {message}", errors=[error])
