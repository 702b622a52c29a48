"""The audit trail: filtered, one event, live, as a file, and its proof."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from contracts.audit import AuditEvent, AuditQuery, FeedQuery, ProofQuery
from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from tenantry_client import api
from tenantry_client.errors import NotFoundError
from tenantry_client.models import ExportQuery

from console.calls import filter_names, query_of
from console.forms import Form
from console.web import TEMPLATES, SignedIn, Visit

_FORM = Form(AuditQuery, filter_names(AuditQuery))

router = APIRouter(prefix="/audit")


@router.get("")
async def show_list(visit: SignedIn) -> Response:
    given = {name: value for name, value in visit.request.query_params.items() if value}
    query, errors = query_of(AuditQuery, given)
    page = await visit.api(api.list_events(query))
    return visit.page(
        "audit.html",
        events=page.events,
        pagination=page.pagination,
        filters=_FORM.fields(given, errors),
        given=given,
    )


@router.get("/proof")
async def show_proof(visit: SignedIn, after: int = 0) -> Response:
    query = ProofQuery(after=after)
    proof, checkpoint = await asyncio.gather(visit.api(api.get_proof(query)), _checkpoint(visit))
    return visit.page("proof.html", proof=proof, checkpoint=checkpoint)


async def _checkpoint(visit: Visit) -> str | None:
    """The newest signed checkpoint; None while there is none."""
    try:
        return await visit.api(api.get_checkpoint())
    except NotFoundError:
        return None


@router.get("/checkpoint")
async def download_checkpoint(visit: SignedIn) -> Response:
    """The signed note as a file, to be kept where nobody of the product can reach."""
    text = await visit.api(api.get_checkpoint())
    name = datetime.now(UTC).strftime("checkpoint-%Y%m%dT%H%M%SZ.txt")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return PlainTextResponse(text, headers=headers)


@router.get("/export")
async def export(visit: SignedIn) -> Response:
    """The trail that the filters select as a file of lines of JSON."""
    names = ExportQuery.model_fields
    given = {n: v for n, v in visit.request.query_params.items() if v and n in names}
    blocks = visit.patient_api().download(api.export_events(ExportQuery.model_validate(given)))
    name = datetime.now(UTC).strftime("audit-%Y%m%dT%H%M%SZ.ndjson")
    first = await anext(blocks, b"")

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for block in blocks:
            yield block

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(body(), media_type="application/x-ndjson", headers=headers)


@router.get("/live")
async def follow(visit: SignedIn, after: int) -> Response:
    """Rows of the table as they happen, for the script."""
    events = visit.patient_api().lines(api.follow_events(FeedQuery(after=after)))

    async def rows() -> AsyncIterator[str]:
        yield ": connected\n\n"
        async for event in events:
            html = _row(visit, event).replace("\n", "")
            yield f"id: {event.sequence}\ndata: {html}\n\n"

    return StreamingResponse(rows(), media_type="text/event-stream")


@router.get("/{event_id}")
async def show_one(visit: SignedIn, event_id: str) -> Response:
    event = await visit.api(api.get_event(event_id))
    return visit.page("audit_event.html", event=event)


def _row(visit: Visit, event: AuditEvent) -> str:
    module = TEMPLATES.get_template("components/events.html").make_module({"visit": visit})
    return str(module.row(event))  # type: ignore[attr-defined]
