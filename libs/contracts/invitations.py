"""Invitations to an organization, and their acceptance (service: identity)."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.calls import Call
from contracts.events import EventData
from contracts.fields import (
    Email,
    EmailInput,
    Instant,
    NameInput,
    Permissions,
    Role,
)
from contracts.ids import InvitationId, OrganizationId, UserId
from contracts.members import Member
from contracts.models import (
    Body,
    ListQuery,
    Pagination,
    Resource,
)

_ORGANIZATION = {"id": "org"}
InvitationStatus = Literal["pending", "accepted", "revoked", "expired"]


class Invitation(Resource):
    id: InvitationId
    email: Email
    role: Role
    permissions: Permissions
    email_verified: bool = Field(default=False, examples=[False])
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


class CreateInvitation(Body):
    """`email_verified`: a user who is created by accepting it is verified; needs `users:write`."""

    email: EmailInput
    role: Role = "member"
    permissions: Permissions = []
    email_verified: bool = False
    expires_in: Annotated[int, Field(ge=3600, le=2_592_000)] = 604_800


class InvitationsQuery(ListQuery):
    status: InvitationStatus | None = None


class AcceptInvitation(Body):
    token: Annotated[str, Field(min_length=1, max_length=512)]
    name: NameInput | None = None


class AcceptedInvitation(Resource):
    organization_id: OrganizationId
    member: Member


_INVITATION = {"id": "org", "inv_id": "inv"}
CREATE_INVITATION = Call(
    "identity",
    "create_invitation",
    body=CreateInvitation,
    result=IssuedInvitation,
    status=201,
    path=_ORGANIZATION,
    problems=("already_member", "invitation_pending", "quota_exceeded"),
    shows_secret=True,
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
    problems=("invitation_closed", "invitation_pending", "quota_exceeded"),
    shows_secret=True,
)
ACCEPT_INVITATION = Call(
    "identity",
    "accept_invitation",
    body=AcceptInvitation,
    result=AcceptedInvitation,
    problems=(
        "invitation_closed",
        "already_member",
        "member_limit_reached",
        "tenant_suspended",
        "user_suspended",
    ),
)


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
