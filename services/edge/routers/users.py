"""Users and their sessions."""

from contracts import sessions
from contracts import users as calls
from contracts.examples import example_of
from fastapi import APIRouter, Security

from edge.auth.access import public, tenant
from edge.bulk_import import MEDIA_TYPE, import_users
from edge.call_route import CallRoute, Endpoint

PUBLIC = [Security(public)]
READ = [Security(tenant, scopes=["users:read"])]
WRITE = [Security(tenant, scopes=["users:write"])]
_REFRESH = """\
Each refresh token works once. An old one that is used again revokes the session: a client that
repeats a request whose answer it lost sends the same `Idempotency-Key`."""
_VERIFY = """\
`code` is `valid`, `invalid` (signed by no project of the tenant, or of a user who is gone),
`expired` (the token, or its session), `revoked` or `user_suspended`. Revocation is known at once;
that a signing key was revoked within five seconds."""
_RESULTS = {
    MEDIA_TYPE: {
        "schema": calls.ImportResult.model_json_schema(),
        "example": example_of(calls.ImportResult),
    }
}

router = APIRouter(prefix="/v1", tags=["Users"], route_class=CallRoute)

router.post("/admin/users", summary="Create a user", dependencies=WRITE)(
    Endpoint(calls.CREATE_USER)
)
router.post(
    "/admin/users/bulk",
    summary="Import users",
    dependencies=WRITE,
    responses={200: {"content": _RESULTS}},
)(
    Endpoint(
        calls.IMPORT_USERS,
        import_users,
        body=calls.CreateUser,
        media_type=MEDIA_TYPE,
        reads_body=True,
    )
)
router.get("/admin/users", summary="List users", dependencies=READ)(Endpoint(calls.LIST_USERS))
router.get("/admin/users/{id}", summary="Get a user with sessions and orgs", dependencies=READ)(
    Endpoint(calls.GET_USER)
)
router.patch("/admin/users/{id}", summary="Update a user", dependencies=WRITE)(
    Endpoint(calls.UPDATE_USER)
)
router.delete("/admin/users/{id}", summary="Delete a user", dependencies=WRITE)(
    Endpoint(calls.DELETE_USER)
)
router.post("/admin/users/{id}/sessions", summary="Create a session", dependencies=WRITE)(
    Endpoint(sessions.CREATE_SESSION)
)
router.get("/admin/users/{id}/sessions", summary="List sessions of a user", dependencies=READ)(
    Endpoint(sessions.LIST_SESSIONS)
)
router.delete(
    "/admin/users/{id}/sessions", summary="Revoke all sessions of a user", dependencies=WRITE
)(Endpoint(sessions.REVOKE_SESSIONS))
router.delete("/admin/users/{id}/sessions/{sid}", summary="Revoke a session", dependencies=WRITE)(
    Endpoint(sessions.REVOKE_SESSION)
)
router.post(
    "/sessions/refresh", summary="Refresh a session", dependencies=PUBLIC, description=_REFRESH
)(Endpoint(sessions.REFRESH_SESSION))
router.post(
    "/sessions/verify", summary="Verify an access token", dependencies=READ, description=_VERIFY
)(Endpoint(sessions.VERIFY_SESSION))
