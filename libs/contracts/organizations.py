"""Organizations, their members and the invitations to them (service: identity)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.calls import Call
from contracts.events import Changes, EventData
from contracts.fields import (
    Email,
    Instant,
    Metadata,
    Name,
    Permissions,
    Role,
    Search,
    Slug,
)
from contracts.ids import InvitationId, OrganizationId, UserId
from contracts.models import (
    Body,
    DeleteQuery,
    ListQuery,
    Pagination,
    Resource,
    absent,
)

LogoUrl = Annotated[
    str,
    Field(pattern=r"^https://[^\s\x00-\x1f]+$", max_length=2048),
    Field(examples=["https://cdn.example.com/acme.svg"]),
]
MemberLimit = Annotated[int, Field(ge=1, le=1_000_000, examples=[100])]


class Organization(Resource):
    id: OrganizationId
    name: Name
    slug: Slug
    logo_url: LogoUrl | None
    settings: dict[str, Any] = Field(examples=[{"theme": "dark"}])
    metadata: dict[str, Any] = Field(examples=[{"plan": "enterprise"}])
    max_members: MemberLimit | None
    member_count: int = Field(examples=[3])
    version: int = Field(examples=[1])
    created_at: Instant
    updated_at: Instant


class OrganizationPage(Resource):
    organizations: list[Organization]
    pagination: Pagination


class NewOrganization(Body):
    name: Name
    slug: Slug | None = None
    logo_url: LogoUrl | None = None
    settings: Metadata = {}
    metadata: Metadata = {}
    max_members: MemberLimit | None = None
    owner_id: UserId | None = None


class OrganizationPatch(Body):
    name: Name = absent()
    slug: Slug = absent()
    logo_url: LogoUrl | None = absent()
    settings: dict[str, Any] = absent()
    metadata: dict[str, Any] = absent()
    max_members: MemberLimit | None = absent()


class OrganizationsQuery(ListQuery):
    q: Search | None = None
    user_id: str | None = None
    sort: Literal["name", "-name", "created_at", "-created_at"] = "-created_at"


_ORGANIZATION = {"id": "org"}

CREATE_ORGANIZATION = Call(
    "identity",
    "create_organization",
    body=NewOrganization,
    result=Organization,
    status=201,
    problems=("slug_taken",),
)
LIST_ORGANIZATIONS = Call(
    "identity", "list_organizations", query=OrganizationsQuery, result=OrganizationPage
)
GET_ORGANIZATION = Call("identity", "get_organization", result=Organization, path=_ORGANIZATION)
UPDATE_ORGANIZATION = Call(
    "identity",
    "update_organization",
    body=OrganizationPatch,
    result=Organization,
    path=_ORGANIZATION,
    problems=("slug_taken", "member_limit_reached", "version_mismatch"),
)
DELETE_ORGANIZATION = Call(
    "identity",
    "delete_organization",
    query=DeleteQuery,
    status=204,
    path=_ORGANIZATION,
    problems=("version_mismatch",),
)


class MemberUser(Resource):
    id: UserId
    email: Email
    name: Name | None


class Member(Resource):
    user_id: UserId
    role: Role
    permissions: Permissions
    joined_at: Instant
    user: MemberUser


class MemberPage(Resource):
    members: list[Member]
    pagination: Pagination


class NewMember(Body):
    user_id: str = Field(examples=["usr_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    role: Role = "member"
    permissions: Permissions = []


class MemberPatch(Body):
    role: Role = absent()
    permissions: Permissions = absent()


class MembersQuery(ListQuery):
    role: Role | None = None
    q: Search | None = None


_MEMBER = {"id": "org", "user_id": "usr"}

LIST_MEMBERS = Call(
    "identity", "list_members", query=MembersQuery, result=MemberPage, path=_ORGANIZATION
)
ADD_MEMBER = Call(
    "identity",
    "add_member",
    body=NewMember,
    result=Member,
    status=201,
    path=_ORGANIZATION,
    problems=("already_member", "member_limit_reached"),
)
UPDATE_MEMBER = Call(
    "identity",
    "update_member",
    body=MemberPatch,
    result=Member,
    path=_MEMBER,
    problems=("last_owner",),
)
REMOVE_MEMBER = Call(
    "identity", "remove_member", status=204, path=_MEMBER, problems=("last_owner",)
)

InvitationStatus = Literal["pending", "accepted", "revoked", "expired"]


class Invitation(Resource):
    id: InvitationId
    email: Email
    role: Role
    permissions: Permissions
    status: InvitationStatus = Field(examples=["pending"])
    invited_by: str | None = Field(examples=["key_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    expires_at: Instant
    created_at: Instant
    accepted_at: Instant | None


class IssuedInvitation(Invitation):
    """`token` is shown once."""

    token: str = Field(examples=["inv_Zm9vYmFyYmF6cXV4"])


class InvitationPage(Resource):
    invitations: list[Invitation]
    pagination: Pagination


class NewInvitation(Body):
    email: Email
    role: Role = "member"
    permissions: Permissions = []
    expires_in: Annotated[int, Field(ge=3600, le=2_592_000)] = 604_800


class InvitationsQuery(ListQuery):
    status: InvitationStatus | None = None


class AcceptInvitation(Body):
    token: Annotated[str, Field(min_length=1, max_length=512)]
    name: Name | None = None


class AcceptedInvitation(Resource):
    organization_id: OrganizationId
    member: Member


_INVITATION = {"id": "org", "inv_id": "inv"}

CREATE_INVITATION = Call(
    "identity",
    "create_invitation",
    body=NewInvitation,
    result=IssuedInvitation,
    status=201,
    path=_ORGANIZATION,
    problems=("already_member", "invitation_pending"),
)
LIST_INVITATIONS = Call(
    "identity",
    "list_invitations",
    query=InvitationsQuery,
    result=InvitationPage,
    path=_ORGANIZATION,
)
REVOKE_INVITATION = Call(
    "identity", "revoke_invitation", status=204, path=_INVITATION, problems=("invitation_closed",)
)
RESEND_INVITATION = Call(
    "identity",
    "resend_invitation",
    result=IssuedInvitation,
    path=_INVITATION,
    problems=("invitation_closed", "invitation_pending"),
)
ACCEPT_INVITATION = Call(
    "identity",
    "accept_invitation",
    body=AcceptInvitation,
    result=AcceptedInvitation,
    problems=("invitation_closed", "already_member", "member_limit_reached", "user_suspended"),
)


class OrganizationCreated(EventData, type="organization.created", service="identity"):
    """An organization was created."""

    organization: Organization


class OrganizationUpdated(EventData, type="organization.updated", service="identity"):
    """Fields of an organization changed."""

    organization: Organization
    changes: Changes


class OrganizationDeleted(EventData, type="organization.deleted", service="identity"):
    """An organization was deleted, with its memberships and pending invitations."""

    organization: Organization


class MemberAdded(EventData, type="member.added", service="identity"):
    """A user became a member of an organization."""

    organization_id: OrganizationId
    member: Member


class MemberUpdated(EventData, type="member.updated", service="identity"):
    """A member's role or permissions changed."""

    organization_id: OrganizationId
    member: Member
    changes: Changes


class MemberRemoved(EventData, type="member.removed", service="identity"):
    """A user is no longer a member of an organization."""

    organization_id: OrganizationId
    user_id: UserId
    role: Role


class InvitationCreated(EventData, type="invitation.created", service="identity"):
    """Somebody was invited to an organization."""

    organization_id: OrganizationId
    invitation: Invitation


class InvitationResent(EventData, type="invitation.resent", service="identity"):
    """An invitation got a new token and expiry."""

    organization_id: OrganizationId
    invitation: Invitation


class InvitationRevoked(EventData, type="invitation.revoked", service="identity"):
    """An invitation was revoked."""

    organization_id: OrganizationId
    invitation: Invitation


class InvitationAccepted(EventData, type="invitation.accepted", service="identity"):
    """An invitation was accepted; `member.added` tells of the membership."""

    organization_id: OrganizationId
    invitation: Invitation
    user_id: UserId
