"""Users and their sessions."""

from contracts import users as calls

from edge.route import Route

_USERS = "/v1/admin/users"
_USER = _USERS + "/{id}"

ROUTES = [
    Route("POST", _USERS, calls.CREATE_USER, "users:write", "Create a user"),
    Route("GET", _USERS, calls.LIST_USERS, "users:read", "List users"),
    Route("GET", _USER, calls.GET_USER, "users:read", "Get a user with sessions and orgs"),
    Route("PATCH", _USER, calls.UPDATE_USER, "users:write", "Update a user"),
    Route("DELETE", _USER, calls.DELETE_USER, "users:write", "Delete a user"),
    Route("DELETE", _USER + "/sessions", calls.REVOKE_SESSIONS, "users:write",
          "Revoke all sessions of a user"),
    Route("DELETE", _USER + "/sessions/{sid}", calls.REVOKE_SESSION, "users:write",
          "Revoke a session"),
]  # fmt: skip
