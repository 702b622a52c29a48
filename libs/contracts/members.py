"""Members of an organization, with their role and permissions (service: identity)."""

from pydantic import Field

from contracts.calls import Call
from contracts.events import Changes, EventData
from contracts.fields import (
    Email,
    Instant,
    Name,
    Permissions,
    Role,
    Search,
)
from contracts.ids import OrganizationId, UserId
from contracts.models import (
    Body,
    ListQuery,
    Pagination,
    Resource,
    absent,
)

_ORGANIZATION = {"id": "org"}


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


class AddMember(Body):
    user_id: str = Field(examples=["usr_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    role: Role = "member"
    permissions: Permissions = []


class UpdateMember(Body):
    role: Role = absent()
    permissions: Permissions = absent()


class MembersQuery(ListQuery):
    role: Role | None = None
    q: Search | None = None


_MEMBER = {"id": "org", "user_id": "usr"}
LIST_MEMBERS = Call(
    "identity",
    "list_members",
    query=MembersQuery,
    result=MemberPage,
    path=_ORGANIZATION,
    may_lag=True,
)
ADD_MEMBER = Call(
    "identity",
    "add_member",
    body=AddMember,
    result=Member,
    status=201,
    path=_ORGANIZATION,
    problems=("already_member", "member_limit_reached"),
)
UPDATE_MEMBER = Call(
    "identity",
    "update_member",
    body=UpdateMember,
    result=Member,
    path=_MEMBER,
    problems=("last_owner",),
)
REMOVE_MEMBER = Call(
    "identity", "remove_member", status=204, path=_MEMBER, problems=("last_owner",)
)


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
