"""The models of the API: those of `contracts`, and those that differ between API and services."""

from typing import Literal

from contracts.api_keys import ApiKey, ApiKeysQuery, ApiKeyVerdict, CreateApiKey, RotateApiKey
from contracts.audit import AuditEvent, AuditFilters, AuditQuery, ExportedEvent, FeedQuery
from contracts.events import Event, EventData
from contracts.invitations import AcceptInvitation, Invitation, InvitationsQuery, CreateInvitation
from contracts.members import Member, UpdateMember, MembersQuery, AddMember
from contracts.models import Body, DeleteQuery, DeletionPreview, ListQuery, Pagination
from contracts.organizations import (
    CreateOrganization,
    Organization,
    UpdateOrganization,
    OrganizationsQuery,
)
from contracts.projects import CreateProject, Project, UpdateProject, ProjectSettings, ProjectsQuery
from contracts.scopes import Scopes
from contracts.sessions import (
    CreateSession,
    RefreshSession,
    Session,
    SessionTokens,
    SessionVerdict,
    VerifySession,
)
from contracts.signing_keys import RotateSigningKey, SigningKey
from contracts.tenants import (
    CreateRootKey,
    CreateTenant,
    RootKeysQuery,
    Tenant,
    UpdateTenant,
    TenantsQuery,
    WhoAmI,
)
from contracts.users import (
    DeleteUserQuery,
    ImportResult,
    CreateUser,
    User,
    UserDetail,
    UpdateUser,
    UsersQuery,
)
from contracts.webhooks import (
    DeliveriesQuery,
    Delivery,
    CreateWebhook,
    Replay,
    SendTest,
    Webhook,
    UpdateWebhook,
    WebhooksQuery,
)


class VerifyApiKey(Body):
    """An API key that somebody sent to you; `scopes` are those that it must have."""

    secret: str
    scopes: Scopes = []


class ExportQuery(AuditFilters):
    """Dates are inclusive; `action` is exact or a family such as `user.*`.

    CSV is for `download`: it cannot be read line by line, nor verified.
    """

    format: Literal["ndjson", "csv"] = "ndjson"


__all__ = [
    "AcceptInvitation",
    "ApiKey",
    "ApiKeyVerdict",
    "ApiKeysQuery",
    "AuditEvent",
    "AuditQuery",
    "DeleteQuery",
    "DeleteUserQuery",
    "DeletionPreview",
    "DeliveriesQuery",
    "Delivery",
    "Event",
    "EventData",
    "ExportQuery",
    "ExportedEvent",
    "FeedQuery",
    "ImportResult",
    "Invitation",
    "InvitationsQuery",
    "ListQuery",
    "Member",
    "MemberPatch",
    "MembersQuery",
    "NewApiKey",
    "NewInvitation",
    "NewMember",
    "NewOrganization",
    "NewProject",
    "NewRootKey",
    "NewSession",
    "NewTenant",
    "NewUser",
    "NewWebhook",
    "Organization",
    "OrganizationPatch",
    "OrganizationsQuery",
    "Pagination",
    "Project",
    "ProjectPatch",
    "ProjectSettings",
    "ProjectsQuery",
    "RefreshSession",
    "Replay",
    "RootKeysQuery",
    "RotateApiKey",
    "RotateSigningKey",
    "SendTest",
    "Session",
    "SessionTokens",
    "SessionVerdict",
    "SigningKey",
    "Tenant",
    "TenantPatch",
    "TenantsQuery",
    "User",
    "UserDetail",
    "UserPatch",
    "UsersQuery",
    "VerifyApiKey",
    "VerifySession",
    "Webhook",
    "WebhookPatch",
    "WebhooksQuery",
    "WhoAmI",
]
