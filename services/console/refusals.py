"""What a form says when it was not done: at the field that it is about, and what to do.

A form is shown again with what was typed. It keeps its Idempotency-Key where nobody knows what
became of the request, so that it is done once, and gets another where it is known.
"""

from datetime import datetime
from uuid import uuid4

from starlette.datastructures import FormData
from tenantry_client.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    MalformedError,
    NoResponseError,
    ProblemError,
    RateLimitedError,
    UnavailableError,
)

from console.forms import Errors, UnreadableFormError
from console.sent_forms import IDEMPOTENCY_KEY

REFUSALS = (
    UnreadableFormError,
    ConflictError,
    InvalidError,
    MalformedError,
    ForbiddenError,
    RateLimitedError,
    UnavailableError,
    NoResponseError,
)
"""What a form shows beside what was typed."""
UNKNOWN_OUTCOME = (UnavailableError, NoResponseError)
NO_ANSWER = "No answer came, so it may have been done. Send it again: it is done once."
SENT_BEFORE = (
    "This form was sent before with other values, and that may have been done. Look at what there "
    "is now before you send it again."
)
_FORCE = "Forced, verifiers refuse tokens of the new key until they fetch the key set again."
_TAKEN = "_taken"
_FIELDS = {"already_member": "user_id", "invitation_pending": "email"}
"""The field that a code is about, where its name does not say so."""


def errors_of(error: Exception) -> Errors:
    """What is wrong, by the fields of the form."""
    if isinstance(error, UnreadableFormError):
        return error.errors
    if not isinstance(error, ProblemError) or error.code == "upstream_timeout":
        return Errors(whole=NO_ANSWER)
    if error.code == "idempotency_key_reused":
        return Errors(whole=SENT_BEFORE)
    if isinstance(error, InvalidError):
        return Errors({each["field"]: each["message"] for each in error.errors}, error.detail)
    return _errors_of_state(error)


def _errors_of_state(error: ProblemError) -> Errors:
    """Of a form that is right, but not now."""
    if error.code == "rotation_too_soon":
        until = datetime.fromisoformat(str(error.more["earliest_safe_activation"]))
        return Errors({"force": _FORCE}, error.detail, until)
    name = _FIELDS.get(error.code)
    if error.code.endswith(_TAKEN):
        name = error.code.removesuffix(_TAKEN)
    return Errors({name: error.detail} if name else {}, said(error))


def said(error: ProblemError) -> str:
    """The detail of a problem, and when to try again if time will help."""
    if isinstance(error, (RateLimitedError, UnavailableError)):
        return f"{error.detail} Try again in {error.retry_after or 1:.0f} seconds."
    return error.detail


def status_of(error: Exception) -> int:
    """The status of the page that shows the form again."""
    if isinstance(error, ProblemError):
        return error.status
    return 503 if isinstance(error, NoResponseError) else 422


def next_key(form: FormData, error: Exception) -> str:
    """The Idempotency-Key of the form that is shown again."""
    old = form.get(IDEMPOTENCY_KEY)
    if isinstance(error, UNKNOWN_OUTCOME) and isinstance(old, str):
        return old
    return str(uuid4())
