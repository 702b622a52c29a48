"""The models of the API: those of `contracts`, and those that differ between API and services."""

from typing import Literal

from contracts.api_keys import (
    ApiKey,
    ApiKeysQuery,
    ApiKeyVerdict,
    CreateApiKey,
    RevokeApiKeyQuery,
    RotateApiKey,
)
from contracts.audit import (
    AuditEvent,
    AuditFilters,
    AuditQuery,
    Consistency,
    ConsistencyQuery,
    ExportedEvent,
    FeedQuery,
    Inclusion,
    InclusionQuery,
    ProofQuery,
)
from contracts.events import Event, EventData
from contracts.invitations import AcceptInvitation, CreateInvitation, Invitation, InvitationsQuery
from contracts.members import AddMember, Member, MembersQuery, UpdateMember
from contracts.models import Body, DeleteQuery, DeletionPreview, ListQuery, Pagination
from contracts.operator_calls import IssueOperatorToken, TenantDeletion
from contracts.organizations import (
    CreateOrganization,
    Organization,
    OrganizationsQuery,
    UpdateOrganization,
)
from contracts.overview import Outcomes, OutcomesQuery, Overview
from contracts.projects import CreateProject, Project, ProjectSettings, ProjectsQuery, UpdateProject
from contracts.scopes import Scopes
from contracts.search import SearchQuery, SearchResult, SearchResults
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
    TenantsQuery,
    UpdateTenant,
    WhoAmI,
)
from contracts.users import (
    CreateUser,
    DeleteUserQuery,
    ImportResult,
    UpdateUser,
    User,
    UserDetail,
    UsersQuery,
)
from contracts.webhooks import (
    CreateWebhook,
    DeliveriesQuery,
    Delivery,
    Replay,
    SendTest,
    UpdateWebhook,
    Webhook,
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
    "AddMember",
    "ApiKey",
    "ApiKeyVerdict",
    "ApiKeysQuery",
    "AuditEvent",
    "AuditQuery",
    "Consistency",
    "ConsistencyQuery",
    "CreateApiKey",
    "CreateInvitation",
    "CreateOrganization",
    "CreateProject",
    "CreateRootKey",
    "CreateSession",
    "CreateTenant",
    "CreateUser",
    "CreateWebhook",
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
    "Inclusion",
    "InclusionQuery",
    "Invitation",
    "InvitationsQuery",
    "IssueOperatorToken",
    "ListQuery",
    "Member",
    "MembersQuery",
    "Organization",
    "OrganizationsQuery",
    "Outcomes",
    "OutcomesQuery",
    "Overview",
    "Pagination",
    "Project",
    "ProjectSettings",
    "ProjectsQuery",
    "ProofQuery",
    "RefreshSession",
    "Replay",
    "RevokeApiKeyQuery",
    "RootKeysQuery",
    "RotateApiKey",
    "RotateSigningKey",
    "SearchQuery",
    "SearchResult",
    "SearchResults",
    "SendTest",
    "Session",
    "SessionTokens",
    "SessionVerdict",
    "SigningKey",
    "Tenant",
    "TenantDeletion",
    "TenantsQuery",
    "UpdateMember",
    "UpdateOrganization",
    "UpdateProject",
    "UpdateTenant",
    "UpdateUser",
    "UpdateWebhook",
    "User",
    "UserDetail",
    "UsersQuery",
    "VerifyApiKey",
    "VerifySession",
    "Webhook",
    "WebhooksQuery",
    "WhoAmI",
]
