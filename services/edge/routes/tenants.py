"""Tenants, who am I, and access tokens."""

import asyncio
import base64
import time
from dataclasses import replace
from urllib.parse import parse_qsl, unquote_plus

import orjson
from chassis.rpc.client import call_service
from contracts import tenants as calls
from contracts.problems import Problem
from contracts.secrets import digest, is_secret
from starlette.requests import Request
from starlette.responses import Response

from edge.gateway import ANSWER_SECONDS, Asked, Gateway
from edge.responding import respond
from edge.route import OPERATOR, PUBLIC, TENANT, TENANT_OR_OPERATOR, Route

_TENANTS = "/v1/admin/tenants"
_ROOT_KEYS = _TENANTS + "/{id}/root-keys"
WAIT_SECONDS = 1.2


async def delete_tenant(gateway: Gateway, asked: Asked) -> Response:
    """204 once every service has confirmed; 202 while some are still at it."""
    reply = await gateway.ask(asked)
    if reply.status != 202:
        return respond(asked.route, asked.request, reply)
    look = replace(asked.context, query=(), if_match=None, idempotency_key=None)
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        look.deadline = time.time() + ANSWER_SECONDS / 2
        found = await call_service(gateway.nats, calls.GET_TENANT, look)
        if found.status == 404:
            return respond(
                asked.route, asked.request, replace(reply, body=b"", status=204, version=None)
            )
        await asyncio.sleep(0.05)
    return respond(asked.route, asked.request, reply)


async def issue_token(gateway: Gateway, asked: Asked) -> Response:
    """RFC 6749 4.4: the client by HTTP Basic or in the form; errors as RFC 6749 5.2 too."""
    pairs = parse_qsl(asked.body.decode("utf-8", "replace"), keep_blank_values=True)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _token_problem("invalid_request", "Send each parameter once.")
    basic = _basic(asked.request)
    client_id, secret = basic or (form.pop("client_id", ""), form.pop("client_secret", ""))
    if basic and ("client_secret" in form or form.pop("client_id", client_id) != client_id):
        raise _token_problem("invalid_request", "Authenticate in one way: HTTP Basic or the form.")
    if "grant_type" not in form:
        raise _token_problem("invalid_request", "grant_type is required: client_credentials.")
    body = {
        "grant_type": form["grant_type"],
        "client_id": client_id,
        "secret_sha256": digest(secret) if is_secret(secret) else None,
        "scope": form.get("scope"),
    }
    reply = await call_service(gateway.nats, asked.route.call, asked.context, orjson.dumps(body))
    if reply.status >= 400:
        problem = orjson.loads(reply.body)
        if problem["code"] in calls.ISSUE_TOKEN.problems:
            reply = replace(reply, body=orjson.dumps(problem | {"error": problem["code"]}))
    response = respond(asked.route, asked.request, reply)
    if reply.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="tenantry"'
    return response


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        raise _token_problem("invalid_client", "The Authorization header is malformed.") from None
    return unquote_plus(name), unquote_plus(secret)


def _token_problem(code: str, detail: str) -> Problem:
    return Problem(code, detail, error=code)


ROUTES = [
    Route("POST", _TENANTS, calls.CREATE_TENANT, OPERATOR, "Create a tenant and its first key",
          location="/v1/admin/tenants/{created}"),
    Route("GET", _TENANTS, calls.LIST_TENANTS, OPERATOR, "List tenants"),
    Route("GET", _TENANTS + "/{id}", calls.GET_TENANT, TENANT_OR_OPERATOR, "Get a tenant"),
    Route("PATCH", _TENANTS + "/{id}", calls.UPDATE_TENANT, TENANT_OR_OPERATOR, "Update a tenant"),
    Route("DELETE", _TENANTS + "/{id}", calls.DELETE_TENANT, OPERATOR, "Delete a tenant",
          handler=delete_tenant),
    Route("POST", _ROOT_KEYS, calls.CREATE_ROOT_KEY, OPERATOR, "Create a root key",
          location=_ROOT_KEYS, description="A further key for everything, beside those that there "
          "are. To replace a leaked one: make another, hand it over, revoke the leaked one."),
    Route("GET", _ROOT_KEYS, calls.LIST_ROOT_KEYS, OPERATOR, "List root keys"),
    Route("DELETE", _ROOT_KEYS + "/{key_id}", calls.REVOKE_ROOT_KEY, OPERATOR, "Revoke a root key",
          description="Every edge refuses it within a second. The last one that works stays: make "
          "another first."),
    Route("GET", "/v1/admin/tenant", calls.WHO_AM_I, TENANT, "Who am I"),
    Route("POST", "/v1/auth/token", calls.ISSUE_TOKEN, PUBLIC, "Get an access token",
          handler=issue_token, media_type="application/x-www-form-urlencoded"),
]  # fmt: skip
