"""Organizations, their members and the invitations to them."""

from contracts import invitations, members
from contracts import organizations as calls
from fastapi import APIRouter, Security

from edge.auth.access import public, tenant
from edge.call_route import CallRoute, Endpoint

PUBLIC = [Security(public)]
READ = [Security(tenant, scopes=["organizations:read"])]
WRITE = [Security(tenant, scopes=["organizations:write"])]
_NAMED = {"invitation_closed": 409}
"""410 for an accepted token, 409 where the path names the invitation."""

router = APIRouter(prefix="/v1", tags=["Organizations"], route_class=CallRoute)

router.post("/admin/organizations", summary="Create an organization", dependencies=WRITE)(
    Endpoint(calls.CREATE_ORGANIZATION)
)
router.get("/admin/organizations", summary="List organizations", dependencies=READ)(
    Endpoint(calls.LIST_ORGANIZATIONS)
)
router.get("/admin/organizations/{id}", summary="Get an organization", dependencies=READ)(
    Endpoint(calls.GET_ORGANIZATION)
)
router.patch("/admin/organizations/{id}", summary="Update an organization", dependencies=WRITE)(
    Endpoint(calls.UPDATE_ORGANIZATION)
)
router.delete("/admin/organizations/{id}", summary="Delete an organization", dependencies=WRITE)(
    Endpoint(calls.DELETE_ORGANIZATION)
)
router.post("/admin/organizations/{id}/members", summary="Add a member", dependencies=WRITE)(
    Endpoint(members.ADD_MEMBER)
)
router.get("/admin/organizations/{id}/members", summary="List members", dependencies=READ)(
    Endpoint(members.LIST_MEMBERS)
)
router.patch(
    "/admin/organizations/{id}/members/{user_id}", summary="Update a member", dependencies=WRITE
)(Endpoint(members.UPDATE_MEMBER))
router.delete(
    "/admin/organizations/{id}/members/{user_id}", summary="Remove a member", dependencies=WRITE
)(Endpoint(members.REMOVE_MEMBER))
router.post(
    "/admin/organizations/{id}/invitations", summary="Create an invitation", dependencies=WRITE
)(Endpoint(invitations.CREATE_INVITATION))
router.get("/admin/organizations/{id}/invitations", summary="List invitations", dependencies=READ)(
    Endpoint(invitations.LIST_INVITATIONS)
)
router.delete(
    "/admin/organizations/{id}/invitations/{inv_id}",
    summary="Revoke an invitation",
    dependencies=WRITE,
)(Endpoint(invitations.REVOKE_INVITATION, problem_status=_NAMED))
router.post(
    "/admin/organizations/{id}/invitations/{inv_id}/resend",
    summary="Resend an invitation",
    dependencies=WRITE,
)(Endpoint(invitations.RESEND_INVITATION, problem_status=_NAMED))
router.post("/invitations/accept", summary="Accept an invitation", dependencies=PUBLIC)(
    Endpoint(invitations.ACCEPT_INVITATION)
)
