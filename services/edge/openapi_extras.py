"""What FastAPI cannot know of the routes, added to its OpenAPI document.

Everything follows from the route and its call: headers, examples, and every problem it can answer.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from contracts.catalogue import EventTypes
from contracts.examples import example_of
from contracts.problems import PROBLEMS
from pydantic import BaseModel

from edge.auth.access import public
from edge.call_route import CallRoute

Json = dict[str, Any]

DESCRIPTION = """\
The control plane of Tenantry: tenants, projects, API keys and signing keys, users, organizations,
webhooks and the audit trail.

* Send `Authorization: Bearer <secret API key or access token>`; the credential decides the tenant.
* Every error is `application/problem+json` with a stable `code`, and names what to do.
* Send an `Idempotency-Key` with a change and repeat it safely: the first answer comes again.
* Lists page by number or by cursor, in a stable order, with a total. One with an `Age` header may
  lack what was written in so many seconds: send `Cache-Control: no-cache` to see it.
"""
_STRING = {"type": "string"}
_SHOWN_BY_FIELDS = (EventTypes,)
"""The examples of their fields are enough: linters take an object with `type` and `example`, as an
event type is, for a schema."""
_RESPONSE_HEADERS = ("X-Request-Id", "traceparent", "RateLimit", "RateLimit-Policy")


def _header(name: str, description: str, **schema: str) -> Json:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": _STRING | schema,
    }


_REQUEST_ID = _header(
    "X-Request-Id",
    "Echoed, and kept in the trail; another takes its place unless it is 1-128 of A-Za-z0-9._-.",
)
_IF_NONE_MATCH = _header("If-None-Match", "304 when the ETag is still this one.")
_CACHE_CONTROL = _header(
    "Cache-Control", "`no-cache`: nothing is missing that was written before; no Age then."
)
_IF_MATCH = _header("If-Match", "412 when the resource has another ETag.")
_IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "Repeat a request with the same key: the first answer comes again, for 24 hours.",
    pattern=r"^[\x21-\x7e]{1,255}$",
)


def add_extras(document: Json, routes: Iterable[CallRoute]) -> None:
    """Completes the document that FastAPI made of the routes."""
    for route in routes:
        operation = document["paths"][route.path][route.method.lower()]
        declared = [_parameter(each) for each in operation.get("parameters", ())]
        public = [each for each in declared if "x-internal" not in each["schema"]]
        operation["parameters"] = [*public, *_request_headers(route)]
        operation.setdefault("security", [])
        if route.scopes:
            operation["x-required-scope"] = route.scopes[0]
        body = route.endpoint.body_model
        if body is not None and operation["requestBody"].get("required"):
            (content,) = operation["requestBody"]["content"].values()
            content["example"] = example_of(body)
        _complete_responses(operation["responses"], route)
    document["components"]["responses"] = {code: _problem(code) for code in PROBLEMS}


def _parameter(declared: Json) -> Json:
    """Without the title, and without null: no query string has one."""
    schema = {
        name: value
        for name, value in declared["schema"].items()
        if name not in ("title", "description", "anyOf")
    }
    for option in declared["schema"].get("anyOf", ()):
        if option != {"type": "null"}:
            schema |= option
    return declared | {"schema": schema}


def _request_headers(route: CallRoute) -> Iterator[Json]:
    yield _REQUEST_ID
    if route.method != "GET":
        yield _IDEMPOTENCY_KEY
    elif _has_version(route.response_model):
        yield _IF_NONE_MATCH
    if route.call.may_lag:
        yield _CACHE_CONTROL
    if "version_mismatch" in route.call.problems:
        yield _IF_MATCH


def _has_version(model: type[BaseModel] | None) -> bool:
    return model is not None and "version" in model.model_fields


def _complete_responses(responses: Json, route: CallRoute) -> None:
    models = {str(status): each.get("model") for status, each in route.responses.items()}
    models |= {str(route.status_code): route.response_model}
    del responses["4XX"]
    for status, response in responses.items():
        model = models[status]
        names = [*_RESPONSE_HEADERS]
        names += ["Location"] if status == "201" else []
        names += ["ETag"] if _has_version(model) else []
        names += ["Age"] if route.call.may_lag else []
        response["headers"] = {name: {"schema": _STRING} for name in names}
        if model is not None and model not in _SHOWN_BY_FIELDS:
            content = next(iter(response["content"].values()))
            content["example"] = example_of(model)
    if route.method == "GET" and _has_version(route.response_model):
        responses["304"] = {"description": "The ETag is still the one you know."}
    responses |= _problems(route)


def _problems(route: CallRoute) -> Json:
    """By status: of one code its component, if that is its usual status; of several their names."""
    codes: dict[int, list[str]] = {}
    for code in dict.fromkeys(_problem_codes(route)):
        status = route.endpoint.problem_status.get(code, PROBLEMS[code][0])
        codes.setdefault(status, []).append(code)
    return {
        str(status): {"$ref": f"#/components/responses/{each[0]}"}
        if len(each) == 1 and PROBLEMS[each[0]][0] == status
        else _problem_response(" · ".join(f"`{code}`" for code in each))
        for status, each in sorted(codes.items())
    }


def _problem_codes(route: CallRoute) -> Iterator[str]:
    yield from route.call.problems
    if route.access is not public:
        yield from ("unauthenticated", "insufficient_scope", "tenant_suspended")
    if route.call.path:
        yield "not_found"
    if route.method != "GET":
        yield from ("request_timeout", "payload_too_large", "unsupported_media_type")
        yield from ("idempotency_in_flight", "idempotency_key_reused", "malformed_json")
    yield from ("validation_failed", "rate_limited", "service_unavailable", "upstream_timeout")
    yield from ("malformed_request", "header_fields_too_large")


def _problem(code: str) -> Json:
    status, title = PROBLEMS[code]
    response = _problem_response(f"{title}: `{code}`.")
    response["content"]["application/problem+json"]["example"] = {
        "type": f"urn:tenantry:problem:{code}",
        "title": title,
        "status": status,
        "detail": f"{title}.",
        "code": code,
        "request_id": "req_9f2c",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    return response


def _problem_response(description: str) -> Json:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": schema}},
    }
