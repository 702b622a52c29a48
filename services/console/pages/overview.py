"""The overview: what is wrong, how much there is, and what happened last."""

import asyncio
from dataclasses import dataclass
from typing import Any

from contracts.audit import AuditQuery
from contracts.webhooks import WebhooksQuery
from fastapi import APIRouter
from starlette.responses import Response
from tenantry_client import api
from tenantry_client.errors import TenantryError
from tenantry_client.requests import Request as ApiRequest

from console.resources import TOP
from console.web import SignedIn, Visit

LAST_EVENTS = 10

router = APIRouter()


@dataclass(frozen=True)
class Count:
    """How many there are. `total` is None where the API did not say."""

    title: str
    path: str
    total: int | None


@router.get("/")
async def show(visit: SignedIn) -> Response:
    health, counts, events, disabled = await asyncio.gather(
        _health(visit), _counts(visit), _last_events(visit), _disabled_webhooks(visit)
    )
    return visit.page(
        "overview.html", health=health, counts=counts, events=events, disabled=disabled
    )


async def _health(visit: Visit) -> dict[str, Any]:
    """The report of the edge, whether it is well or not."""
    try:
        response = await visit.api.send(ApiRequest("GET", "/health", {200: None}))
    except TenantryError:
        return {"status": "down", "checks": {}}
    report: dict[str, Any] = response.json()
    return report


async def _counts(visit: Visit) -> list[Count]:
    shown = [kind for kind in TOP if (f"/{kind.path}") in {path for _, path in visit.menu}]

    async def count(kind: Any) -> Count:
        try:
            page = await visit.api(kind.list(kind.query(limit=1)))
        except TenantryError:
            return Count(kind.title, f"/{kind.path}", None)
        return Count(kind.title, f"/{kind.path}", page.pagination.total)

    return list(await asyncio.gather(*map(count, shown)))


async def _last_events(visit: Visit) -> list[Any] | None:
    """None for who may not read them."""
    if not visit.session.may("audit:read"):
        return None
    try:
        return (await visit.api(api.list_events(AuditQuery(limit=LAST_EVENTS)))).events
    except TenantryError:
        return None


async def _disabled_webhooks(visit: Visit) -> list[Any]:
    if not visit.session.may("webhooks:read"):
        return []
    try:
        query = WebhooksQuery(status="disabled", limit=LAST_EVENTS)
        return (await visit.api(api.list_webhooks(query))).webhooks
    except TenantryError:
        return []
