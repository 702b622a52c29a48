"""The audit trail: pages, proof, export, and the feed of events."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
from chassis.request import Reply
from chassis.rpc.client import call_service
from contracts import audit as calls
from contracts.context import Context
from contracts.problems import Problem, invalid
from starlette.responses import Response, StreamingResponse

from edge.callers import Presented
from edge.gateway import ANSWER_SECONDS, Asked, Gateway
from edge.places import HeldResponse, Places
from edge.responding import respond
from edge.route import Route

_AUDIT = "/v1/admin/audit"
_NEXT = "Tenantry-Next"
_POLL_SECONDS = 0.5
_BEAT_SECONDS = 15.0
_LONGEST_SECONDS = 3600.0
_STREAM_TYPE = "text/event-stream"
_EXPORTS = Places("exports", of_tenant=4, of_all=64)
_FEEDS = Places("open feeds", of_tenant=32, of_all=1024)


async def export(gateway: Gateway, asked: Asked) -> Response:
    """Streams chunk after chunk; the first one decides whether there is an answer at all."""
    place = _EXPORTS.take(asked.context.tenant())
    first = await gateway.ask(asked)
    if first.status != 200:
        return respond(asked.route, asked.request, first)

    async def chunks() -> AsyncIterator[bytes]:
        reply = first
        while True:
            yield reply.body
            if _NEXT not in reply.headers:
                return
            query = tuple(pair for pair in asked.context.query if pair[0] != "before")
            context = _again(asked.context, (*query, ("before", reply.headers[_NEXT])))
            reply = await call_service(gateway.nats, calls.EXPORT_EVENTS, context)
            if reply.status != 200:
                # Nothing else can be said any more: cut the stream, so that it is seen as broken.
                raise ConnectionError("the export was interrupted")

    media_type = first.headers.get("Content-Type", "application/x-ndjson")
    extension = "csv" if media_type.startswith("text/csv") else "ndjson"
    return HeldResponse(
        place,
        chunks(),
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="audit.{extension}"'},
    )


async def feed(gateway: Gateway, asked: Asked) -> Response:
    """One page, or with `Accept: text/event-stream` an open stream that resumes by sequence."""
    if _STREAM_TYPE not in asked.request.headers.get("accept", ""):
        return await gateway.forward(asked)
    last = asked.request.headers.get("last-event-id")
    if last is not None:
        if not (last.isascii() and last.isdigit() and len(last) <= 18):
            raise invalid("Last-Event-ID", "must be the sequence of an event")
        query = tuple(pair for pair in asked.context.query if pair[0] != "after")
        asked = replace(asked, context=_again(asked.context, (*query, ("after", last))))
    place = _FEEDS.take(asked.context.tenant())
    first = await gateway.ask(asked)
    if first.status != 200:
        return respond(asked.route, asked.request, first)
    if asked.request.method == "HEAD":
        return StreamingResponse(_nothing(), media_type=_STREAM_TYPE)
    return HeldResponse(place, _stream(gateway, asked, first), media_type=_STREAM_TYPE)


async def _nothing() -> AsyncIterator[bytes]:
    """The body of an answer to HEAD, which would otherwise stay open."""
    for _ in ():
        yield b""


async def _stream(gateway: Gateway, asked: Asked, first: Reply) -> AsyncIterator[bytes]:
    """Server-sent events; ends after an hour, when the credential ends, or when it is revoked."""
    began = beat = time.monotonic()
    page = orjson.loads(first.body)
    while True:
        for event in page["events"]:
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (
                event["sequence"],
                event["action"].encode(),
                orjson.dumps(event),
            )
            beat = time.monotonic()
        if time.monotonic() - began > _LONGEST_SECONDS or not await _still(gateway, asked):
            return
        if time.monotonic() - beat > _BEAT_SECONDS:
            yield b": alive\n\n"
            beat = time.monotonic()
        if not page["has_more"]:
            await asyncio.sleep(_POLL_SECONDS)
        kept = (pair for pair in asked.context.query if pair[0] != "after")
        query = (*kept, ("after", str(page["next_after"])))
        asked = replace(asked, context=_again(asked.context, query))
        page = await _page(gateway, asked) or page | {"events": [], "has_more": False}


async def _page(gateway: Gateway, asked: Asked) -> dict[str, Any] | None:
    """None while nobody answers."""
    try:
        reply = await gateway.ask(asked)
    except Problem:
        return None
    return orjson.loads(reply.body) if reply.status == 200 else None


async def _still(gateway: Gateway, asked: Asked) -> bool:
    """Whether the credential is still good."""
    context = _again(asked.context, ())
    try:
        presented = Presented.of(asked.request.headers["authorization"])
        await gateway.credentials.find(presented, context.ip_address, context)
    except Problem as problem:
        return problem.status >= 500
    return True


def _again(context: Context, query: Sequence[tuple[str, str]]) -> Context:
    return replace(context, query=query, deadline=time.time() + ANSWER_SECONDS)


ROUTES = [
    Route("GET", _AUDIT, calls.LIST_EVENTS, "audit:read", "List audit events"),
    Route("GET", _AUDIT + "/export", calls.EXPORT_EVENTS, "audit:read", "Export audit events",
          handler=export),
    Route("GET", _AUDIT + "/proof", calls.GET_PROOF, "audit:read", "Prove the audit trail"),
    Route("GET", _AUDIT + "/{event_id}", calls.GET_EVENT, "audit:read", "Get an audit event"),
    Route("GET", "/v1/admin/events", calls.GET_FEED, "audit:read", "Follow the events",
          handler=feed),
]  # fmt: skip
