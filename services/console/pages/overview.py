"""The overview: what is wrong, how much there is, the last hours, and what happened last."""

import asyncio
from dataclasses import dataclass
from typing import Any

from contracts.audit import AuditQuery
from contracts.overview import Overview
from fastapi import APIRouter
from starlette.responses import Response
from tenantry_client import api
from tenantry_client.errors import TenantryError

from console.health_report import services_of
from console.plots import plot_events, plot_outcomes
from console.web import Edge, SignedIn, Visit, client_of

LAST_EVENTS = 10

router = APIRouter()


@dataclass(frozen=True)
class Count:
    """How many there are; `path` is where they are listed, None where they are not."""

    title: str
    path: str | None
    total: int
    is_exact: bool = True


@router.get("/")
async def show(visit: SignedIn) -> Response:
    edge: Edge = visit.request.app.state.edge
    health, overview, events = await asyncio.gather(
        edge.health(client_of(visit.request)), visit.api(api.get_overview()), _last_events(visit)
    )
    plots = []
    if overview.events is not None:
        plots.append(plot_events(overview.events))
    if overview.outcomes is not None:
        plots.append(plot_outcomes(overview.outcomes))
    return visit.page(
        "overview.html",
        health=health,
        services=services_of(health),
        counts=_counts(overview),
        plots=plots,
        failing=overview.webhooks.failing if overview.webhooks else [],
        unavailable=overview.unavailable,
        events=events,
    )


def _counts(overview: Overview) -> list[Count]:
    """Of the parts that the credential may read."""
    counts = []
    if overview.tenants:
        counts.append(Count("Tenants", "/tenants", overview.tenants.total))
        suspended = overview.tenants.suspended
        counts.append(Count("Suspended tenants", "/tenants?status=suspended", suspended))
    if overview.users:
        counts.append(Count("Users", "/users", overview.users.total))
    if overview.live_sessions:
        live = overview.live_sessions
        counts.append(Count("Live sessions", None, live.total, live.total_exact))
    if overview.organizations:
        counts.append(Count("Organizations", "/organizations", overview.organizations.total))
    if overview.projects:
        counts.append(Count("Projects", "/projects", overview.projects.total))
    if overview.webhooks:
        counts.append(Count("Webhooks", "/webhooks", overview.webhooks.total))
    return counts


async def _last_events(visit: Visit) -> list[Any] | None:
    """None for who may not read them."""
    if not visit.session.may("audit:read"):
        return None
    try:
        return (await visit.api(api.list_events(AuditQuery(limit=LAST_EVENTS)))).events
    except TenantryError:
        return None
