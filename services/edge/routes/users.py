"""Users and their sessions."""

from contracts import sessions
from contracts import users as calls

from edge.route import PUBLIC, Route
from edge.routes.importing import MEDIA_TYPE, import_users

_USERS = "/v1/admin/users"
_USER = _USERS + "/{id}"

_IMPORT = """\
One JSON object a line, as in creating a user, up to 10,000 lines or 8 MiB. One result line for
each, in order: `{"line", "status": 201, "id"}` or `{"line", "status", "code", "errors"}`. A bad
line fails alone. Repeated with the same `Idempotency-Key`, what was done is told again and the
rest is done."""
_REFRESH = """\
Each refresh token works once. An old one that is used again revokes the session: a client that
repeats a request whose answer it lost sends the same `Idempotency-Key`."""
_VERIFY = """\
`code` is `valid`, `invalid` (signed by no project of the tenant, or of a user who is gone),
`expired` (the token, or its session), `revoked` or `user_suspended`. Revocation is known at once;
that a signing key was revoked within five seconds."""

ROUTES = [
    Route("POST", _USERS, calls.CREATE_USER, "users:write", "Create a user"),
    Route("POST", _USERS + "/bulk", calls.IMPORT_USERS, "users:write", "Import users",
          handler=import_users, media_type=MEDIA_TYPE, reads_body=True, description=_IMPORT),
    Route("GET", _USERS, calls.LIST_USERS, "users:read", "List users"),
    Route("GET", _USER, calls.GET_USER, "users:read", "Get a user with sessions and orgs"),
    Route("PATCH", _USER, calls.UPDATE_USER, "users:write", "Update a user"),
    Route("DELETE", _USER, calls.DELETE_USER, "users:write", "Delete a user"),
    Route("POST", _USER + "/sessions", sessions.CREATE_SESSION, "users:write",
          "Create a session"),
    Route("DELETE", _USER + "/sessions", sessions.REVOKE_SESSIONS, "users:write",
          "Revoke all sessions of a user"),
    Route("DELETE", _USER + "/sessions/{sid}", sessions.REVOKE_SESSION, "users:write",
          "Revoke a session"),
    Route("POST", "/v1/sessions/refresh", sessions.REFRESH_SESSION, PUBLIC,
          "Refresh a session", description=_REFRESH),
    Route("POST", "/v1/sessions/verify", sessions.VERIFY_SESSION, "users:read",
          "Verify an access token", description=_VERIFY),
]  # fmt: skip
