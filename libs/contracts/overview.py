"""The overview: how much there is, what happened by the hour, and which webhooks fail.

Each call is answered by one service and needs one scope; the edge makes one answer of all of them.
"""

from typing import Annotated

from pydantic import Field

from contracts.calls import Call
from contracts.fields import DIGITS, Instant
from contracts.ids import WebhookId
from contracts.models import Query, Resource, absent
from contracts.webhooks import WebhookStatus

HOURS = 24
"""Of an overview; the last one is the current hour."""
MOST_HOURS = 720
"""Deliveries are kept 30 days."""
MOST_FAILING = 10


class Total(Resource):
    """How many there are. Where it is not exact, there are at least as many."""

    total: int = Field(examples=[12])
    total_exact: bool = Field(examples=[True])


class UserCounts(Resource):
    total: int = Field(examples=[1234])
    active: int = Field(examples=[1200])
    suspended: int = Field(examples=[34])


class TenantCounts(Resource):
    """`active` ones, `suspended` ones, and those that are being deleted."""

    total: int = Field(examples=[7])
    active: int = Field(examples=[5])
    suspended: int = Field(examples=[1])
    deleting: int = Field(examples=[1])


class FailingWebhook(Resource):
    """One whose attempts all failed since `failing_since`, or that was disabled for that."""

    id: WebhookId
    url: str = Field(examples=["https://hooks.example.com/in"])
    status: WebhookStatus = Field(examples=["active"])
    disabled_reason: str | None = Field(examples=[None])
    failing_since: Instant | None


class WebhookCounts(Resource):
    """`failing` has ten at most, those that fail longest first."""

    total: int = Field(examples=[3])
    disabled: int = Field(examples=[1])
    failing: list[FailingWebhook]


class OutcomeHour(Resource):
    """The attempts that began within an hour, by what became of their deliveries.

    `retried`: they failed, and are sent again. `failed`: they failed for the last time.
    """

    start: Instant
    succeeded: int = Field(examples=[120])
    retried: int = Field(examples=[2])
    failed: int = Field(examples=[0])


class EventHour(Resource):
    """The audit events of an hour."""

    start: Instant
    total: int = Field(examples=[42])


class Outcomes(Resource):
    """Oldest first, without gaps; the last hour is the current one. With a `paused_until` most of
    the last attempts failed: after that one attempt probes the receiver, and the others wait.
    """

    paused_until: Instant | None
    hours: list[OutcomeHour]


class OutcomesQuery(Query):
    hours: Annotated[int, Field(ge=1, le=MOST_HOURS), DIGITS] = HOURS


class UsersOverview(Resource):
    users: UserCounts
    live_sessions: Total


class OrganizationsOverview(Resource):
    organizations: Total


class ProjectsOverview(Resource):
    projects: Total


class WebhooksOverview(Resource):
    webhooks: WebhookCounts
    outcomes: list[OutcomeHour]


class EventsOverview(Resource):
    events: list[EventHour]


class TenantsOverview(Resource):
    tenants: TenantCounts


class Overview(Resource):
    """The parts that the credential may read; others are absent. `outcomes` and `events` are by
    hour, of the last 24. `unavailable` names services that did not answer: their parts are missing.
    """

    users: UserCounts | None = absent()
    live_sessions: Total | None = absent()
    organizations: Total | None = absent()
    projects: Total | None = absent()
    webhooks: WebhookCounts | None = absent()
    outcomes: list[OutcomeHour] | None = absent()
    events: list[EventHour] | None = absent()
    tenants: TenantCounts | None = absent()
    unavailable: list[str] = Field(examples=[[]])


GET_USERS_OVERVIEW = Call("identity", "get_users_overview", result=UsersOverview)
GET_ORGANIZATIONS_OVERVIEW = Call(
    "identity", "get_organizations_overview", result=OrganizationsOverview
)
GET_PROJECTS_OVERVIEW = Call("projects", "get_projects_overview", result=ProjectsOverview)
GET_WEBHOOKS_OVERVIEW = Call("webhooks", "get_webhooks_overview", result=WebhooksOverview)
GET_EVENTS_OVERVIEW = Call("audit", "get_events_overview", result=EventsOverview)
GET_TENANTS_OVERVIEW = Call("projects", "get_tenants_overview", result=TenantsOverview)
LIST_OUTCOMES = Call(
    "webhooks", "list_outcomes", query=OutcomesQuery, result=Outcomes, path={"id": "whk"}
)
