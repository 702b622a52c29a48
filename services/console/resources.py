"""What each kind of resource is on the console: its requests, its columns, and what is done to it.

A page for each comes from this (`resource_pages`); what is special has a module in `pages`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from contracts.api_keys import ApiKeysQuery, CreateApiKey, RotateApiKey
from contracts.invitations import CreateInvitation, InvitationsQuery
from contracts.members import AddMember, MembersQuery, UpdateMember
from contracts.models import Body, ListQuery
from contracts.organizations import CreateOrganization, OrganizationsQuery, UpdateOrganization
from contracts.projects import CreateProject, ProjectsQuery, UpdateProject
from contracts.sessions import SessionsQuery
from contracts.signing_keys import RotateSigningKey
from contracts.tenants import CreateTenant, TenantsQuery, UpdateTenant
from contracts.users import CreateUser, DeleteUserQuery, UpdateUser, UsersQuery
from contracts.webhooks import CreateWebhook, DeliveriesQuery, Replay, UpdateWebhook, WebhooksQuery
from pydantic import BaseModel
from tenantry_client import api
from tenantry_client.requests import Pages, Request

Call = Callable[..., Request[Any]]


@dataclass(frozen=True)
class Action:
    """Something done to one resource by a POST. `body` is asked for by a form; `patch` is given.

    `when` says for which states it is offered; `warning` asks before it is done. The result is
    shown if `shows_result`: a secret, or what was queued.
    """

    name: str
    label: str
    call: Call
    body: type[Body] | None = None
    patch: Body | None = None
    when: tuple[str, ...] = ()
    warning: str = ""
    shows_result: bool = False


@dataclass(frozen=True)
class Resource:
    """A kind of resource: `path` below that of its parents, whose ids the requests take first.

    `scope` is the stem of `<scope>:read` and `<scope>:write`. `key` names the attribute that
    identifies one in its path. `get` is None for what a list alone shows. `outcomes` counts by hour
    what became of its attempts.
    """

    path: str
    title: str
    one: str
    scope: str
    list: Callable[..., Pages[Any, Any]]
    query: type[ListQuery]
    columns: tuple[str, ...]
    get: Call | None = None
    outcomes: Call | None = None
    create: tuple[Call, type[Body]] | None = None
    update: tuple[Call, type[Body]] | None = None
    delete: Call | None = None
    delete_label: str = "Delete"
    preview: bool = True
    delete_query: type[BaseModel] | None = None
    actions: tuple[Action, ...] = ()
    collection_actions: tuple[Action, ...] = ()
    parts: tuple["Resource", ...] = ()
    key: str = "id"
    heading: str = "name"
    operator: bool = False
    shows_secret: bool = False
    shown_as: Literal["table", "timeline"] = "table"


API_KEYS = Resource(
    "api-keys", "API keys", "API key", "api_keys",
    api.list_api_keys, ApiKeysQuery,
    ("name", "prefix", "type", "scopes", "status", "created_by", "expires_at", "last_used_at",
     "previous_secret"),
    create=(api.create_api_key, CreateApiKey),
    shows_secret=True,
    actions=(
        Action("rotate", "Rotate", api.rotate_api_key, body=RotateApiKey, when=("active",),
               warning="The key gets a new secret. The old one works on for the overlap.",
               shows_result=True),
    ),
    delete=api.revoke_api_key, delete_label="Revoke", preview=False,
)  # fmt: skip
SIGNING_KEYS = Resource(
    "signing-keys", "Signing keys", "signing key", "signing_keys",
    api.list_signing_keys, ListQuery,
    ("id", "algorithm", "status", "created_at", "activated_at", "retires_at"),
    shown_as="timeline",
    actions=(
        Action("revoke", "Revoke", api.revoke_signing_key, when=("next", "active", "retiring"),
               warning="Every token that it has signed is invalid from now on."),
    ),
    collection_actions=(
        Action("rotate", "Rotate", api.rotate_signing_key, body=RotateSigningKey,
               warning="The next key signs from now on; the active one is published until its "
                       "grace period ends."),
    ),
)  # fmt: skip
PROJECTS = Resource(
    "projects", "Projects", "project", "projects",
    api.list_projects, ProjectsQuery, ("name", "slug", "environment", "created_at"),
    get=api.get_project,
    create=(api.create_project, CreateProject),
    update=(api.update_project, UpdateProject),
    delete=api.delete_project,
    parts=(API_KEYS, SIGNING_KEYS),
)  # fmt: skip
SESSIONS = Resource(
    "sessions", "Sessions", "session", "users",
    api.list_sessions, SessionsQuery,
    ("id", "status", "ip_address", "user_agent", "project_id", "created_at", "last_active_at",
     "expires_at"),
    actions=(
        Action("revoke", "Revoke", api.revoke_session, when=("active",),
               warning="Whoever uses it has to sign in again."),
    ),
)  # fmt: skip
USERS = Resource(
    "users", "Users", "user", "users",
    api.list_users, UsersQuery,
    ("email", "name", "username", "status", "last_sign_in_at", "created_at"),
    get=api.get_user,
    create=(api.create_user, CreateUser),
    update=(api.update_user, UpdateUser),
    delete=api.delete_user, delete_query=DeleteUserQuery,
    heading="email",
    actions=(
        Action("suspend", "Suspend", api.update_user, patch=UpdateUser(status="suspended"),
               when=("active",), warning="Every session of the user ends at once."),
        Action("reactivate", "Reactivate", api.update_user, patch=UpdateUser(status="active"),
               when=("suspended",)),
        Action("sign-out", "Sign out everywhere", api.revoke_sessions,
               warning="Every session of the user ends at once."),
    ),
    parts=(SESSIONS,),
)  # fmt: skip
MEMBERS = Resource(
    "members", "Members", "member", "organizations",
    api.list_members, MembersQuery, ("user", "role", "permissions", "joined_at"),
    create=(api.add_member, AddMember),
    update=(api.update_member, UpdateMember),
    delete=api.remove_member, delete_label="Remove", preview=False,
    key="user_id",
)  # fmt: skip
INVITATIONS = Resource(
    "invitations", "Invitations", "invitation", "organizations",
    api.list_invitations, InvitationsQuery,
    ("email", "role", "status", "invited_by", "expires_at", "accepted_at"),
    create=(api.create_invitation, CreateInvitation),
    shows_secret=True,
    actions=(
        Action("resend", "Resend", api.resend_invitation, when=("pending", "expired"),
               warning="The invitation gets a new token; the old one does not work any more.",
               shows_result=True),
    ),
    delete=api.revoke_invitation, delete_label="Revoke", preview=False,
)  # fmt: skip
ORGANIZATIONS = Resource(
    "organizations", "Organizations", "organization", "organizations",
    api.list_organizations, OrganizationsQuery, ("name", "slug", "member_count", "created_at"),
    get=api.get_organization,
    create=(api.create_organization, CreateOrganization),
    update=(api.update_organization, UpdateOrganization),
    delete=api.delete_organization,
    parts=(MEMBERS, INVITATIONS),
)  # fmt: skip
DELIVERIES = Resource(
    "deliveries", "Deliveries", "delivery", "webhooks",
    api.list_deliveries, DeliveriesQuery,
    ("event_type", "event_id", "status", "next_attempt_at", "created_at", "completed_at"),
    get=api.get_delivery,
    heading="event_type",
    actions=(Action("retry", "Send again", api.retry_delivery),),
)  # fmt: skip
WEBHOOKS = Resource(
    "webhooks", "Webhooks", "webhook", "webhooks",
    api.list_webhooks, WebhooksQuery,
    ("url", "events", "status", "disabled_reason", "created_at"),
    get=api.get_webhook,
    outcomes=api.list_outcomes,
    create=(api.create_webhook, CreateWebhook),
    shows_secret=True,
    update=(api.update_webhook, UpdateWebhook),
    delete=api.delete_webhook,
    heading="url",
    actions=(
        Action("test", "Send a test", api.send_test, when=("active",)),
        Action("replay", "Replay a range", api.replay, body=Replay, when=("active",),
               warning="What did not succeed in this time is sent again.", shows_result=True),
        Action("rotate-secret", "Rotate secret", api.rotate_secret,
               warning="Both secrets sign for 24 hours.", shows_result=True),
        Action("disable", "Disable", api.update_webhook, patch=UpdateWebhook(status="disabled"),
               when=("active",), warning="Nothing is delivered until it is enabled again."),
        Action("enable", "Enable", api.update_webhook, patch=UpdateWebhook(status="active"),
               when=("disabled",)),
    ),
    parts=(DELIVERIES,),
)  # fmt: skip
TENANTS = Resource(
    "tenants", "Tenants", "tenant", "",
    api.list_tenants, TenantsQuery, ("name", "slug", "status", "created_at"),
    get=api.get_tenant,
    create=(api.create_tenant, CreateTenant),
    shows_secret=True,
    update=(api.update_tenant, UpdateTenant),
    delete=api.delete_tenant,
    operator=True,
    actions=(
        Action("suspend", "Suspend", api.update_tenant, patch=UpdateTenant(status="suspended"),
               when=("active",), warning="Every credential of the tenant is refused at once."),
        Action("resume", "Resume", api.update_tenant, patch=UpdateTenant(status="active"),
               when=("suspended",)),
    ),
)  # fmt: skip
TOP = (TENANTS, PROJECTS, USERS, ORGANIZATIONS, WEBHOOKS)
"""Those of the menu, in its order."""
