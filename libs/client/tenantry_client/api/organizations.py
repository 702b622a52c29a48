"""Organizations, their members and the invitations to them."""

from contracts.invitations import (
    AcceptedInvitation,
    AcceptInvitation,
    CreateInvitation,
    Invitation,
    InvitationPage,
    InvitationsQuery,
    IssuedInvitation,
)
from contracts.members import AddMember, Member, MemberPage, MembersQuery, UpdateMember
from contracts.models import DeleteQuery, DeletionPreview
from contracts.organizations import (
    CreateOrganization,
    Organization,
    OrganizationPage,
    OrganizationsQuery,
    UpdateOrganization,
)

from tenantry_client.requests import Pages, Request

_ORGANIZATIONS = "/v1/admin/organizations"
_ORGANIZATION = _ORGANIZATIONS + "/{id}"
_MEMBERS = _ORGANIZATION + "/members"
_MEMBER = _MEMBERS + "/{user_id}"
_INVITATIONS = _ORGANIZATION + "/invitations"
_INVITATION = _INVITATIONS + "/{inv_id}"


def create_organization(organization: CreateOrganization) -> Request[Organization]:
    return Request("POST", _ORGANIZATIONS, {201: Organization}, body=organization)


def list_organizations(
    query: OrganizationsQuery = OrganizationsQuery(),
) -> Pages[OrganizationPage, Organization]:
    return Pages("GET", _ORGANIZATIONS, {200: OrganizationPage}, query=query, name="organizations")


def get_organization(organization_id: str) -> Request[Organization]:
    return Request("GET", _ORGANIZATION, {200: Organization}, (organization_id,))


def update_organization(organization_id: str, patch: UpdateOrganization) -> Request[Organization]:
    return Request("PATCH", _ORGANIZATION, {200: Organization}, (organization_id,), body=patch)


def delete_organization(
    organization_id: str, query: DeleteQuery = DeleteQuery()
) -> Request[DeletionPreview | None]:
    responses = {204: None, 200: DeletionPreview}
    return Request("DELETE", _ORGANIZATION, responses, (organization_id,), query)


def add_member(organization_id: str, member: AddMember) -> Request[Member]:
    return Request("POST", _MEMBERS, {201: Member}, (organization_id,), body=member)


def list_members(
    organization_id: str, query: MembersQuery = MembersQuery()
) -> Pages[MemberPage, Member]:
    return Pages("GET", _MEMBERS, {200: MemberPage}, (organization_id,), query, name="members")


def update_member(organization_id: str, user_id: str, patch: UpdateMember) -> Request[Member]:
    return Request("PATCH", _MEMBER, {200: Member}, (organization_id, user_id), body=patch)


def remove_member(organization_id: str, user_id: str) -> Request[None]:
    return Request("DELETE", _MEMBER, {204: None}, (organization_id, user_id))


def create_invitation(
    organization_id: str, invitation: CreateInvitation
) -> Request[IssuedInvitation]:
    """The token is shown this once."""
    responses = {201: IssuedInvitation}
    return Request("POST", _INVITATIONS, responses, (organization_id,), body=invitation)


def list_invitations(
    organization_id: str, query: InvitationsQuery = InvitationsQuery()
) -> Pages[InvitationPage, Invitation]:
    responses = {200: InvitationPage}
    return Pages("GET", _INVITATIONS, responses, (organization_id,), query, name="invitations")


def revoke_invitation(organization_id: str, invitation_id: str) -> Request[None]:
    return Request("DELETE", _INVITATION, {204: None}, (organization_id, invitation_id))


def resend_invitation(organization_id: str, invitation_id: str) -> Request[IssuedInvitation]:
    """The new token is shown this once; the old one does not work any more."""
    ids = (organization_id, invitation_id)
    return Request("POST", _INVITATION + "/resend", {200: IssuedInvitation}, ids)


def accept_invitation(acceptance: AcceptInvitation) -> Request[AcceptedInvitation]:
    """Needs no credential but the token."""
    return Request("POST", "/v1/invitations/accept", {200: AcceptedInvitation}, body=acceptance)
