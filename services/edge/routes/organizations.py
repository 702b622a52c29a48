"""Organizations, their members and the invitations to them."""

from contracts import invitations, members
from contracts import organizations as calls

from edge.route import PUBLIC, Route

_ORGANIZATIONS = "/v1/admin/organizations"
_ORGANIZATION = _ORGANIZATIONS + "/{id}"
_MEMBERS = _ORGANIZATION + "/members"
_MEMBER = _MEMBERS + "/{user_id}"
_INVITATIONS = _ORGANIZATION + "/invitations"
_INVITATION = _INVITATIONS + "/{inv_id}"

_READ = "organizations:read"
_WRITE = "organizations:write"

ROUTES = [
    Route("POST", _ORGANIZATIONS, calls.CREATE_ORGANIZATION, _WRITE, "Create an organization"),
    Route("GET", _ORGANIZATIONS, calls.LIST_ORGANIZATIONS, _READ, "List organizations"),
    Route("GET", _ORGANIZATION, calls.GET_ORGANIZATION, _READ, "Get an organization"),
    Route("PATCH", _ORGANIZATION, calls.UPDATE_ORGANIZATION, _WRITE, "Update an organization"),
    Route("DELETE", _ORGANIZATION, calls.DELETE_ORGANIZATION, _WRITE, "Delete an organization"),
    Route("POST", _MEMBERS, members.ADD_MEMBER, _WRITE, "Add a member"),
    Route("GET", _MEMBERS, members.LIST_MEMBERS, _READ, "List members"),
    Route("PATCH", _MEMBER, members.UPDATE_MEMBER, _WRITE, "Update a member"),
    Route("DELETE", _MEMBER, members.REMOVE_MEMBER, _WRITE, "Remove a member"),
    Route("POST", _INVITATIONS, invitations.CREATE_INVITATION, _WRITE, "Create an invitation"),
    Route("GET", _INVITATIONS, invitations.LIST_INVITATIONS, _READ, "List invitations"),
    Route("DELETE", _INVITATION, invitations.REVOKE_INVITATION, _WRITE, "Revoke an invitation"),
    Route("POST", _INVITATION + "/resend", invitations.RESEND_INVITATION, _WRITE,
          "Resend an invitation"),
    Route("POST", "/v1/invitations/accept", invitations.ACCEPT_INVITATION, PUBLIC,
          "Accept an invitation"),
]  # fmt: skip
