"""Tenants, who am I, and access tokens."""

import asyncio
import base64
import time
from dataclasses import replace
from typing import Literal
from urllib.parse import parse_qsl, unquote_plus

import orjson
from chassis.rpc.client import call_service
from contracts import operator_calls
from contracts import tenants as calls
from contracts.problems import Problem
from contracts.secrets import digest, is_secret
from fastapi import APIRouter, Security
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from edge.auth.access import operator, public, tenant, tenant_or_operator
from edge.call_route import CallRoute, Endpoint
from edge.gateway import ANSWER_SECONDS, AuthorizedRequest, Gateway
from edge.http.responses import reply_response

PUBLIC = [Security(public)]
OPERATOR = [Security(operator)]
TENANT = [Security(tenant)]
TENANT_OR_OPERATOR = [Security(tenant_or_operator)]
ERASURE_WAIT_SECONDS = 1.2
_ROOT_KEYS = "/v1/admin/tenants/{id}/root-keys"
_CREATE_ROOT_KEY = """\
A further key for everything, beside those that there are. To replace a leaked one: make another,
hand it over, revoke the leaked one."""
_REVOKE_ROOT_KEY = """\
Every edge refuses it within a second. The last one that works stays: make another first. With
`descendants=true` the keys that it made, and those that they made, are revoked too."""


Optional = str | SkipJsonSchema[None]  # a form has no null


class TokenForm(BaseModel):
    """RFC 6749 4.4. The client authenticates by HTTP Basic, or in the form."""

    grant_type: Literal["client_credentials"]
    client_id: Optional = Field(None, description="The id of the API key.")
    client_secret: Optional = Field(None, description="The secret of the API key.")
    scope: Optional = Field(None, description="Scopes separated by spaces; fewer than held.")


async def delete_tenant(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """204 once every service has confirmed; 202 while some are still at it."""
    reply = await gateway.call_owner(request)
    if reply.status == 202 and await _is_erased(gateway, request):
        reply = replace(reply, body=b"", status=204, version=None)
    return reply_response(request.route, request.http, reply)


async def _is_erased(gateway: Gateway, request: AuthorizedRequest) -> bool:
    """Waits a moment for the erasure in all services."""
    context = replace(request.context, query=(), if_match=None, idempotency_key=None)
    until = time.monotonic() + ERASURE_WAIT_SECONDS
    while time.monotonic() < until:
        context.deadline = time.time() + ANSWER_SECONDS / 2
        if (await call_service(gateway.nats, calls.GET_TENANT, context)).status == 404:
            return True
        await asyncio.sleep(0.05)
    return False


async def issue_token(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """The client credentials grant of RFC 6749 4.4; errors are those of RFC 6749 5.2 too."""
    pairs = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _token_problem("invalid_request", "Send each parameter once.")
    basic = _basic_credentials(request.http)
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
    reply = await call_service(
        gateway.nats, request.route.call, request.context, orjson.dumps(body)
    )
    if reply.status >= 400:
        problem = orjson.loads(reply.body)
        if problem["code"] in calls.ISSUE_TOKEN.problems:
            reply = replace(reply, body=orjson.dumps(problem | {"error": problem["code"]}))
    response = reply_response(request.route, request.http, reply)
    if reply.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="tenantry"'
    return response


def _basic_credentials(request: Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""  # nobody's: answered as every unknown client (RFC 6749 5.2)
    return unquote_plus(name), unquote_plus(secret)


def _token_problem(code: str, detail: str) -> Problem:
    return Problem(code, detail, error=code)


async def issue_operator_token(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """A token for this one tenant. What is changed with it stands in the tenant's audit trail as
    done by the operator. It makes none of the operator's calls, and ends with the operator's key.
    While the tenant is suspended it reads, and changes nothing.
    """
    fingerprint = gateway.credentials.operator_tokens.fingerprint
    query = (*request.context.query, ("operator_key", fingerprint))
    request.context = replace(request.context, query=query)
    return await gateway.forward(request)


router = APIRouter(prefix="/v1", tags=["Tenants"], route_class=CallRoute)

router.post("/admin/tenants", summary="Create a tenant and its first key", dependencies=OPERATOR)(
    Endpoint(calls.CREATE_TENANT, location="/v1/admin/tenants/{created}")
)
router.get("/admin/tenants", summary="List tenants", dependencies=OPERATOR)(
    Endpoint(calls.LIST_TENANTS)
)
router.get("/admin/tenants/{id}", summary="Get a tenant", dependencies=TENANT_OR_OPERATOR)(
    Endpoint(calls.GET_TENANT)
)
router.patch("/admin/tenants/{id}", summary="Update a tenant", dependencies=TENANT_OR_OPERATOR)(
    Endpoint(calls.UPDATE_TENANT)
)
router.delete(
    "/admin/tenants/{id}", summary="Delete a tenant", dependencies=OPERATOR, responses={204: {}}
)(Endpoint(calls.DELETE_TENANT, delete_tenant))
router.get(
    "/admin/tenants/{id}/deletion", summary="Get how far a deletion is", dependencies=OPERATOR
)(Endpoint(operator_calls.GET_TENANT_DELETION))
router.post("/admin/tenants/{id}/token", summary="Get a token for a tenant", dependencies=OPERATOR)(
    Endpoint(operator_calls.ISSUE_OPERATOR_TOKEN, issue_operator_token)
)
router.post(
    "/admin/tenants/{id}/root-keys",
    summary="Create a root key",
    dependencies=OPERATOR,
    description=_CREATE_ROOT_KEY,
)(Endpoint(calls.CREATE_ROOT_KEY, location=_ROOT_KEYS))
router.get("/admin/tenants/{id}/root-keys", summary="List root keys", dependencies=OPERATOR)(
    Endpoint(calls.LIST_ROOT_KEYS)
)
router.delete(
    "/admin/tenants/{id}/root-keys/{key_id}",
    summary="Revoke a root key",
    dependencies=OPERATOR,
    description=_REVOKE_ROOT_KEY,
)(Endpoint(calls.REVOKE_ROOT_KEY))
router.get("/admin/tenant", summary="Who am I", dependencies=TENANT)(Endpoint(calls.WHO_AM_I))
router.post("/auth/token", summary="Get an access token", dependencies=PUBLIC)(
    Endpoint(
        calls.ISSUE_TOKEN,
        issue_token,
        body=TokenForm,
        media_type="application/x-www-form-urlencoded",
    )
)
