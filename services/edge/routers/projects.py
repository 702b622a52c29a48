"""Projects, their API keys and their signing keys."""

from typing import Any

import orjson
from chassis.rpc.client import call_service
from contracts import api_keys, projects, signing_keys
from contracts.models import Body
from contracts.problems import Problem, invalid
from contracts.scopes import Scopes
from contracts.secrets import digest, is_secret, shown_prefix
from fastapi import APIRouter, Security
from starlette.responses import Response

from edge.auth.access import public, tenant
from edge.call_route import CallRoute, Endpoint
from edge.gateway import AuthorizedRequest, Gateway
from edge.http.responses import reply_response

PUBLIC = [Security(public)]
PROJECTS_READ = [Security(tenant, scopes=["projects:read"])]
PROJECTS_WRITE = [Security(tenant, scopes=["projects:write"])]
API_KEYS_READ = [Security(tenant, scopes=["api_keys:read"])]
API_KEYS_WRITE = [Security(tenant, scopes=["api_keys:write"])]
SIGNING_KEYS_READ = [Security(tenant, scopes=["signing_keys:read"])]
SIGNING_KEYS_WRITE = [Security(tenant, scopes=["signing_keys:write"])]
_API_KEYS = "/v1/admin/projects/{id}/api-keys"
_REVOKE_API_KEY = """\
Every edge refuses it within a second. With `descendants=true` the keys that it made, and those that
they made, are revoked too: the first thousand at once, more within seconds."""
_SIGNING_KEYS = "/v1/admin/projects/{id}/signing-keys"


class VerifySecret(Body):
    """The secret of an API key, and the scopes that it should hold."""

    secret: str
    scopes: Scopes = []


async def verify_api_key(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """Tells whether a secret is an active API key of the tenant, with all of the scopes."""
    # Only the digest of the secret goes on, and none whose checksum is wrong.
    try:
        body = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError:
        raise Problem("malformed_json", "The body is not valid JSON.") from None
    secret = body.pop("secret", None) if isinstance(body, dict) else None
    if not isinstance(secret, str):
        raise invalid("secret", "is required: the API key to verify", "required")
    if "secret_sha256" in body:
        raise invalid("secret_sha256", "is not known here: check its spelling", "unknown")
    body["secret_sha256"] = digest(secret) if is_secret(secret) else None
    reply = await call_service(
        gateway.nats, request.route.call, request.context, orjson.dumps(body)
    )
    if reply.status == 200:
        _record_use(gateway, request, secret, orjson.loads(reply.body))
    return reply_response(request.route, request.http, reply)


def _record_use(
    gateway: Gateway, request: AuthorizedRequest, secret: str, verdict: dict[str, Any]
) -> None:
    """Counts as a use of the key. The prefix that a key shows is that of its newest secret."""
    if verdict["code"] in ("valid", "insufficient_scope"):
        key = verdict["key"]
        previous = shown_prefix(secret) != key["prefix"]
        gateway.credentials.usage.record_use(request.context.tenant(), key["id"], previous=previous)


router = APIRouter(prefix="/v1", tags=["Projects"], route_class=CallRoute)

router.post("/admin/projects", summary="Create a project", dependencies=PROJECTS_WRITE)(
    Endpoint(projects.CREATE_PROJECT)
)
router.get("/admin/projects", summary="List projects", dependencies=PROJECTS_READ)(
    Endpoint(projects.LIST_PROJECTS)
)
router.get("/admin/projects/{id}", summary="Get a project", dependencies=PROJECTS_READ)(
    Endpoint(projects.GET_PROJECT)
)
router.patch("/admin/projects/{id}", summary="Update a project", dependencies=PROJECTS_WRITE)(
    Endpoint(projects.UPDATE_PROJECT)
)
router.delete("/admin/projects/{id}", summary="Delete a project", dependencies=PROJECTS_WRITE)(
    Endpoint(projects.DELETE_PROJECT)
)
router.post(
    "/admin/projects/{id}/api-keys", summary="Create an API key", dependencies=API_KEYS_WRITE
)(Endpoint(api_keys.CREATE_API_KEY, location=_API_KEYS))
router.get("/admin/projects/{id}/api-keys", summary="List API keys", dependencies=API_KEYS_READ)(
    Endpoint(api_keys.LIST_API_KEYS)
)
router.delete(
    "/admin/projects/{id}/api-keys/{key_id}",
    summary="Revoke an API key",
    description=_REVOKE_API_KEY,
    dependencies=API_KEYS_WRITE,
)(Endpoint(api_keys.REVOKE_API_KEY))
router.post(
    "/admin/projects/{id}/api-keys/{key_id}/rotate",
    summary="Rotate an API key",
    dependencies=API_KEYS_WRITE,
)(Endpoint(api_keys.ROTATE_API_KEY, location=_API_KEYS))
router.post("/api-keys/verify", summary="Verify an API key", dependencies=API_KEYS_READ)(
    Endpoint(api_keys.VERIFY_API_KEY, verify_api_key, body=VerifySecret)
)
router.get(
    "/admin/projects/{id}/signing-keys", summary="List signing keys", dependencies=SIGNING_KEYS_READ
)(Endpoint(signing_keys.LIST_SIGNING_KEYS))
router.post(
    "/admin/projects/{id}/signing-keys/rotate",
    summary="Rotate the signing key",
    dependencies=SIGNING_KEYS_WRITE,
)(Endpoint(signing_keys.ROTATE_SIGNING_KEY, location=_SIGNING_KEYS))
router.post(
    "/admin/projects/{id}/signing-keys/{kid}/revoke",
    summary="Revoke a signing key",
    dependencies=SIGNING_KEYS_WRITE,
)(Endpoint(signing_keys.REVOKE_SIGNING_KEY))
router.get(
    "/projects/{id}/.well-known/jwks.json", summary="Get the public key set", dependencies=PUBLIC
)(Endpoint(signing_keys.GET_JWKS))
