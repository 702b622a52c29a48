"""The request that a handler gets and the reply that it gives; validated once, by the owner."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic

import orjson
from contracts.calls import Call
from contracts.context import Context
from contracts.ids import is_id
from contracts.models import Body, Query
from contracts.problems import MAX_ERRORS, Problem, not_found
from contracts.quotas import QUOTAS, QuotaName
from pydantic import ValidationError
from typing_extensions import TypeVar

from chassis.encryption import Keyring

B = TypeVar("B", bound=Body, default=Body)
Q = TypeVar("Q", bound=Query, default=Query)

_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


@dataclass(slots=True)
class Request(Generic[B, Q]):
    """One validated request: who sends it in `context`, what in `body`, `query` and `path`.

    `encoded` is the body as it came.
    """

    call: Call
    context: Context
    body: B
    query: Q
    keyring: Keyring
    encoded: bytes = b""

    @property
    def tenant(self) -> str:
        """The tenant that the credential decided."""
        return self.context.tenant()

    def quota(self, name: QuotaName) -> int:
        """How many of these the tenant may have."""
        return self.context.quotas.get(name, QUOTAS[name])

    @property
    def path(self) -> dict[str, str]:
        """The identifiers of the URL, each of the right form."""
        return self.context.path


@dataclass(slots=True)
class Reply:
    """`version` becomes the ETag; `created` is the identifier that the edge appends to the path for
    `Location`.
    """

    body: bytes = b""
    status: int = 200
    version: str | None = None
    created: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def json_bytes(value: Any) -> bytes:
    """JSON in UTF-8; times end in Z; `orjson.Fragment` passes stored JSON through."""
    return orjson.dumps(value, option=_JSON_OPTIONS)


def stored_json(text: str) -> orjson.Fragment:
    """A JSON column as PostgreSQL gave it, passed through undecoded."""
    return orjson.Fragment(text)


def reply_to(
    request: Request[Any, Any],
    value: Mapping[str, Any] | None = None,
    *,
    created: str | None = None,
) -> Reply:
    """The call's success: its status, the value as JSON, and the version as ETag if it has one."""
    if value is None:
        return Reply(status=request.call.status)
    version = value.get("version")
    return Reply(
        body=json_bytes(value),
        status=request.call.status,
        version=None if version is None else str(version),
        created=created,
    )


def problem_headers(problem: Problem) -> dict[str, str]:
    """The headers that go with a problem."""
    if "retry_after" in problem.extra:
        return {"Retry-After": str(problem.extra["retry_after"])}
    return {}


def problem_reply(problem: Problem, context: Context | None) -> Reply:
    """A problem as a reply; `context` is None where the request has not been read."""
    request_id, trace_id = (context.request_id, context.trace_id) if context else ("", "")
    body = json_bytes(problem.body(request_id, trace_id))
    return Reply(body, problem.status, headers=problem_headers(problem))


def validate_request(
    call: Call, context: Context, body: bytes, keyring: Keyring
) -> Request[Any, Any]:
    """Path, query and body checked in that order. Raises Problem (404, 422, 400)."""
    for name, prefix in call.path.items():
        if not is_id(prefix, context.path[name]):
            raise not_found()
    query = validate_query(call, context)
    try:
        parsed = call.body.model_validate_json(body or b"{}") if call.body else Body()
    except ValidationError as error:
        raise validation_problem(error, "body") from None
    if call.body is None and body.strip() not in (b"", b"{}"):
        raise Problem("validation_failed", "This request takes no body. Send it without one.")
    return Request(call, context, parsed, query, keyring, body)


def validate_query(call: Call, context: Context) -> Query:
    """The query of the call. Raises Problem (422)."""
    given: dict[str, str] = {}
    errors = []
    for name, value in context.query:
        if name in given:
            errors.append(_error(name, "repeated", "must be given once"))
        if "\0" in value:
            errors.append(_error(name, "invalid_text", "must not contain NUL"))
        given[name] = value
    if "cursor" in given and "page" in given:
        errors.append(_error("cursor", "conflict", "continues from a page: leave page out"))
    if errors:
        raise _fields_problem(errors, len(errors))
    try:
        return call.query.model_validate(given) if given else _empty_query(call.query)
    except ValidationError as error:
        raise validation_problem(error, "query") from None


@cache
def _empty_query(query: type[Query]) -> Query:
    return query.model_validate({})


def _error(field_name: str, code: str, message: str) -> dict[str, str]:
    return {"field": field_name, "code": code, "message": message}


def _fields_problem(errors: list[dict[str, str]], count: int) -> Problem:
    first = errors[0]
    detail = f"{first['field']}: {first['message']}"
    if count > 1:
        detail += f" (and {count - 1} more)"
    return Problem("validation_failed", detail, errors=errors, errors_count=count)


_PLAIN = {
    "missing": ("required", "is required"),
    "extra_forbidden": ("unknown", "is not known here: check its spelling"),
}


def field_errors(error: ValidationError, root: str) -> list[dict[str, str]]:
    """The first MAX_ERRORS that pydantic found, in our words and without what the caller sent."""
    found = []
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    for fault in faults[:MAX_ERRORS]:
        name = ".".join(str(part) for part in fault["loc"]) or root
        code, message = _PLAIN.get(fault["type"], (fault["type"], fault["msg"]))
        if message.startswith("Input should be"):
            message = "must be" + message.removeprefix("Input should be")
        found.append(_error(name, code, message))
    return found


def validation_problem(error: ValidationError, root: str) -> Problem:
    """What pydantic found, as a 400 for what is no JSON, else a 422 that names the fields."""
    errors = field_errors(error, root)
    if errors[0]["code"] == "json_invalid":
        reason = errors[0]["message"].removeprefix("Invalid JSON: ")
        return Problem("malformed_json", f"The body is not valid JSON: {reason}.")
    return _fields_problem(errors, error.error_count())


def revalidate(model: type[Any], value: Any, field_name: str) -> Any:
    """A model built from merged parts. Raises Problem with fields below `field_name`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = field_errors(error, "")
        for each in errors:
            each["field"] = f"{field_name}.{each['field']}".rstrip(".")
        raise _fields_problem(errors, error.error_count()) from None
