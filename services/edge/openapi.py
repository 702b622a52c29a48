"""The OpenAPI 3.1 document, made from the table of routes and the models of the contracts."""

from functools import lru_cache
from typing import Any

from chassis.telemetry import VERSION
from contracts.examples import example_of
from contracts.models import DeleteQuery, DeletionPreview, Problem, Resource
from contracts.problems import PROBLEMS
from contracts.scopes import SCOPES
from contracts.users import CreateUser, ImportResult
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edge.route import OPERATOR, PUBLIC, TENANT, TENANT_OR_OPERATOR, Route
from edge.table import ROUTES, SECTIONS

_DESCRIPTION = """\
The control plane of Tenantry: tenants, projects, API keys and signing keys, users, organizations,
webhooks and the audit trail.

* Send `Authorization: Bearer <secret API key or access token>`; the credential decides the tenant.
* Every error is `application/problem+json` with a stable `code`, and names what to do.
* Send an `Idempotency-Key` with a change and repeat it safely: the first answer comes again.
* Lists page by number or by cursor, in a stable order, with a total.
"""
_PATH_NAMES = {
    "ten": "tenant",
    "prj": "project",
    "key": "API key",
    "sgk": "signing key",
    "usr": "user",
    "ses": "session",
    "org": "organization",
    "inv": "invitation",
    "whk": "webhook",
    "dlv": "delivery",
    "evt": "event",
}
_WHO = {
    PUBLIC: "No credential is needed.",
    TENANT: "Any credential of the tenant.",
    OPERATOR: "The operator's credential only.",
    TENANT_OR_OPERATOR: "The operator, or the tenant's own credential.",
}
_FORM = "application/x-www-form-urlencoded"
_TOKEN_FORM = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "const": "client_credentials"},
        "client_id": {"type": "string", "description": "The key's id, unless by HTTP Basic."},
        "client_secret": {"type": "string", "description": "The key's secret, likewise."},
        "scope": {"type": "string", "description": "Scopes separated by spaces; fewer than held."},
    },
}
_VERIFY_BODY = {
    "type": "object",
    "required": ["secret"],
    "additionalProperties": False,
    "properties": {
        "secret": {"type": "string"},
        "scopes": {"type": "array", "items": {"type": "string", "enum": list(SCOPES)}},
    },
}
_OWN_BODIES = {
    "issue_token": (_FORM, _TOKEN_FORM),
    "verify_api_key": ("application/json", _VERIFY_BODY),
    "import_users": ("application/x-ndjson", {"$ref": "#/components/schemas/NewUser"}),
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for tag, routes in SECTIONS.items():
        for route in routes:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, tag)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tenantry", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in SECTIONS],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {code: _problem(code) for code in PROBLEMS},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A secret API key, an access token, or the operator's key.",
                }
            },
        },
    }


def _operation(route: Route, tag: str) -> dict[str, Any]:
    access = _WHO.get(route.access, f"Scope: `{route.access}`.")
    operation: dict[str, Any] = {
        "operationId": route.call.name,
        "tags": [tag],
        "summary": route.summary,
        "description": f"{route.description}\n\n{access}".strip(),
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_headers(route)],
        "responses": _responses(route),
    }
    operation["security"] = [] if route.access == PUBLIC else [{"bearer": []}]
    if route.access not in _WHO:
        operation["x-required-scope"] = route.access
    body = _body(route)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"The identifier of the {_PATH_NAMES[prefix]}.",
            "schema": {"type": "string"},
            "example": f"{prefix}_01jt7a3v9qf8mbd2m0q5k4h6xz",
        }
        for name, prefix in route.call.path.items()
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    schema = route.call.query.model_json_schema()
    found = []
    for name, member in schema.get("properties", {}).items():
        if name == "before" and route.call.name == "export_events":
            continue  # how the edge itself asks for the next chunk
        plain = {key: value for key, value in member.items() if key not in ("title", "default")}
        options = [option for option in plain.pop("anyOf", []) if option != {"type": "null"}]
        if options:
            plain |= options[0]
        if member.get("default") is not None:
            plain["default"] = member["default"]
        found.append({"name": name, "in": "query", "required": False, "schema": plain})
    return found


def _headers(route: Route) -> list[dict[str, Any]]:
    note = (
        "Echoed, and kept in the trail; another takes its place unless it is 1-128 of A-Za-z0-9._-."
    )
    found = [_header("X-Request-Id", None, note)]
    if route.method == "GET":
        if _is_versioned(route):
            found.append(_header("If-None-Match", None, "304 when the ETag is still this one."))
        return found
    note = "Repeat a request with the same key: the first answer comes again, for 24 hours."
    found.append(_header("Idempotency-Key", r"^[\x21-\x7e]{1,255}$", note))
    if "version_mismatch" in route.call.problems:
        found.append(_header("If-Match", None, "412 when the resource has another ETag."))
    return found


def _header(name: str, pattern: str | None, description: str) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema,
    }


def _is_versioned(route: Route) -> bool:
    result = route.call.result
    return result is not None and "version" in result.model_fields


def _body(route: Route) -> dict[str, Any] | None:
    if route.call.name in _OWN_BODIES:
        media_type, schema = _OWN_BODIES[route.call.name]
        return {"required": True, "content": {media_type: {"schema": schema}}}
    model = route.call.body
    if model is None:
        return None
    needed = any(field.is_required() for field in model.model_fields.values())
    content = {"schema": _reference(model)}
    if needed:
        content["example"] = example_of(model)
    return {"required": needed, "content": {"application/json": content}}


def _reference(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _responses(route: Route) -> dict[str, Any]:
    responses = {str(route.call.status): _success(route, route.call.result)}
    if issubclass(route.call.query, DeleteQuery):
        responses["200"] = _success(route, DeletionPreview)
    if route.call.name == "delete_tenant":
        responses["204"] = _success(route, None)
    if route.method == "GET" and _is_versioned(route):
        responses["304"] = {"description": "The ETag is still the one you know."}
    by_status: dict[str, list[str]] = {}
    for code in dict.fromkeys(_codes(route)):
        by_status.setdefault(str(_status(code, route)), []).append(code)
    for status, codes in sorted(by_status.items()):
        if len(codes) == 1 and PROBLEMS[codes[0]][0] == int(status):
            responses[status] = {"$ref": f"#/components/responses/{codes[0]}"}
        else:
            responses[status] = _problem_response(" · ".join(f"`{code}`" for code in codes))
    return responses


def _status(code: str, route: Route) -> int:
    """`invitation_closed` is 410 to whoever accepts and 409 to whoever administers."""
    if code == "invitation_closed" and route.call.name != "accept_invitation":
        return 409
    return PROBLEMS[code][0]


def _codes(route: Route) -> list[str]:
    codes = list(route.call.problems)
    if route.access != PUBLIC:
        codes += ["unauthenticated", "insufficient_scope", "tenant_suspended"]
    if route.call.path:
        codes.append("not_found")
    if route.method != "GET":
        codes += ["request_timeout", "payload_too_large", "unsupported_media_type"]
        codes += ["idempotency_in_flight", "idempotency_key_reused", "malformed_json"]
    codes += ["validation_failed", "rate_limited", "service_unavailable", "upstream_timeout"]
    codes += ["malformed_request", "header_fields_too_large"]
    return codes


def _success(route: Route, result: type[Resource] | None) -> dict[str, Any]:
    headers = {
        name: {"schema": {"type": "string"}}
        for name in ("X-Request-Id", "traceparent", "RateLimit", "RateLimit-Policy")
    }
    if route.call.status == 201:
        headers["Location"] = {"schema": {"type": "string"}}
    if result is not None and "version" in result.model_fields:
        headers["ETag"] = {"schema": {"type": "string"}}
    response: dict[str, Any] = {"description": "Done.", "headers": headers}
    if result is not None:
        content = {"schema": _reference(result), "example": example_of(result)}
        response["content"] = {"application/json": content}
    elif route.call.name == "export_events":
        response["content"] = {
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        }
    elif route.call.name == "import_users":
        content = {"schema": _reference(ImportResult), "example": example_of(ImportResult)}
        response["content"] = {"application/x-ndjson": content}
    if route.call.name == "get_feed":
        response["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return response


def _problem(code: str) -> dict[str, Any]:
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


def _problem_response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": _reference(Problem)}},
    }


def _schemas() -> dict[str, Any]:
    """Bodies as they come in, results as they go out; a default is no promise of presence."""
    models: dict[tuple[type[BaseModel], Any], None] = {(Problem, "serialization"): None}
    models[DeletionPreview, "serialization"] = None
    # What a line of an import holds, and what is told of it.
    models[CreateUser, "validation"] = models[ImportResult, "validation"] = None
    for route in ROUTES:
        if route.call.body is not None and route.call.name != "import_users":
            models[route.call.body, "validation"] = None
        if route.call.result is not None:
            models[route.call.result, "serialization"] = None
    _, schema = models_json_schema(list(models), ref_template="#/components/schemas/{model}")
    return dict(schema["$defs"])
