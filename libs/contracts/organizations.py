"""Organizations of a tenant's users (service: identity)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.calls import Call
from contracts.events import Changes, EventData
from contracts.fields import (
    Instant,
    Name,
    NameInput,
    Search,
    Slug,
)
from contracts.ids import OrganizationId, UserId
from contracts.json_objects import Metadata
from contracts.models import (
    Body,
    DeleteQuery,
    ListQuery,
    Pagination,
    Resource,
    absent,
)
from contracts.readable_text import WhenChanged, check_name

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


class CreateOrganization(Body):
    name: NameInput
    slug: Slug | None = None
    logo_url: LogoUrl | None = None
    settings: Metadata = {}
    metadata: Metadata = {}
    max_members: MemberLimit | None = None
    owner_id: UserId | None = None


class UpdateOrganization(Body):
    name: Annotated[Name, WhenChanged(check_name)] = absent()
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
    body=CreateOrganization,
    result=Organization,
    status=201,
    problems=("slug_taken",),
)
LIST_ORGANIZATIONS = Call(
    "identity",
    "list_organizations",
    query=OrganizationsQuery,
    result=OrganizationPage,
    may_lag=True,
)
GET_ORGANIZATION = Call("identity", "get_organization", result=Organization, path=_ORGANIZATION)
UPDATE_ORGANIZATION = Call(
    "identity",
    "update_organization",
    body=UpdateOrganization,
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
