"""Projects, their API keys and their signing keys."""

from typing import Any

import orjson
from chassis.rpc.client import call_service
from contracts import api_keys, projects, signing_keys
from contracts.problems import Problem, invalid
from contracts.secrets import digest, is_secret, shown_prefix
from starlette.responses import Response

from edge.gateway import Asked, Gateway
from edge.responding import respond
from edge.route import PUBLIC, Route

_PROJECTS = "/v1/admin/projects"
_PROJECT = _PROJECTS + "/{id}"
_KEYS = _PROJECT + "/api-keys"
_SIGNING = _PROJECT + "/signing-keys"


async def verify_api_key(gateway: Gateway, asked: Asked) -> Response:
    """Only the digest of the key goes on; one whose checksum is wrong is not looked up.

    Nothing is written: the use of the key is gathered here, as that of a caller's own.
    """
    try:
        body = orjson.loads(asked.body or b"{}")
    except orjson.JSONDecodeError:
        raise Problem("malformed_json", "The body is not valid JSON.") from None
    secret = body.pop("secret", None) if isinstance(body, dict) else None
    if not isinstance(secret, str):
        raise invalid("secret", "is required: the API key to verify", "required")
    if "secret_sha256" in body:
        raise invalid("secret_sha256", "is not known here: check its spelling", "unknown")
    body["secret_sha256"] = digest(secret) if is_secret(secret) else None
    reply = await call_service(gateway.nats, asked.route.call, asked.context, orjson.dumps(body))
    if reply.status == 200:
        _note_use(gateway, asked, secret, orjson.loads(reply.body))
    return respond(asked.route, asked.request, reply)


def _note_use(gateway: Gateway, asked: Asked, secret: str, verdict: dict[str, Any]) -> None:
    """The prefix that a key shows is that of its newest secret."""
    if verdict["code"] in ("valid", "insufficient_scope"):
        key = verdict["key"]
        previous = shown_prefix(secret) != key["prefix"]
        gateway.credentials.use.used(asked.context.tenant(), key["id"], previous=previous)


ROUTES = [
    Route("POST", _PROJECTS, projects.CREATE_PROJECT, "projects:write", "Create a project"),
    Route("GET", _PROJECTS, projects.LIST_PROJECTS, "projects:read", "List projects"),
    Route("GET", _PROJECT, projects.GET_PROJECT, "projects:read", "Get a project"),
    Route("PATCH", _PROJECT, projects.UPDATE_PROJECT, "projects:write", "Update a project"),
    Route("DELETE", _PROJECT, projects.DELETE_PROJECT, "projects:write", "Delete a project"),
    Route("POST", _KEYS, api_keys.CREATE_API_KEY, "api_keys:write", "Create an API key",
          location=_KEYS),
    Route("GET", _KEYS, api_keys.LIST_API_KEYS, "api_keys:read", "List API keys"),
    Route("DELETE", _KEYS + "/{key_id}", api_keys.REVOKE_API_KEY, "api_keys:write",
          "Revoke an API key"),
    Route("POST", _KEYS + "/{key_id}/rotate", api_keys.ROTATE_API_KEY, "api_keys:write",
          "Rotate an API key", location=_KEYS),
    Route("POST", "/v1/api-keys/verify", api_keys.VERIFY_API_KEY, "api_keys:read",
          "Verify an API key", handler=verify_api_key),
    Route("GET", _SIGNING, signing_keys.LIST_SIGNING_KEYS, "signing_keys:read",
          "List signing keys"),
    Route("POST", _SIGNING + "/rotate", signing_keys.ROTATE_SIGNING_KEY, "signing_keys:write",
          "Rotate the signing key", location=_SIGNING),
    Route("POST", _SIGNING + "/{kid}/revoke", signing_keys.REVOKE_SIGNING_KEY,
          "signing_keys:write", "Revoke a signing key"),
    Route("GET", "/v1/projects/{id}/.well-known/jwks.json", signing_keys.GET_JWKS, PUBLIC,
          "Get the public key set"),
]  # fmt: skip
