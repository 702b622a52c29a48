"""Streams of the audit trail: the export in chunks, and the feed as server-sent events.

The first chunk or page decides about the response; what fails later ends the stream.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
from chassis.request import Reply
from chassis.rpc.client import call_service
from contracts import audit as calls
from contracts.context import Context
from contracts.problems import Problem, invalid
from starlette.responses import Response, StreamingResponse

from edge.gateway import ANSWER_SECONDS, AuthorizedRequest, Gateway
from edge.http.request import prefers
from edge.http.responses import reply_response
from edge.limits.concurrency import ConcurrencyLimit, SlotResponse

EVENT_STREAM = "text/event-stream"
NO_STORE = {"Cache-Control": "no-store"}
_NEXT_HEADER = "Tenantry-Next"
_POLL_SECONDS = 0.5
_KEEP_ALIVE_SECONDS = 15.0
_MAX_SECONDS = 3600.0
_CHUNK_TRIES = 10
_EXPORTS = ConcurrencyLimit("exports", per_tenant=4, total=16)
_PROOFS = ConcurrencyLimit("proofs", per_tenant=2, total=8)
_FEEDS = ConcurrencyLimit("open feeds", per_tenant=32, total=1024)


async def get_proof(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """A slice of the proof; few at a time, for one tenant and for all."""
    slot = _PROOFS.acquire(request.context.tenant())
    try:
        return await gateway.forward(request)
    finally:
        slot.release()


async def export_events(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """All events that match, newest first, as a stream."""
    slot = _EXPORTS.acquire(request.context.tenant())
    first = await gateway.call_owner(request)
    if first.status != 200:
        return reply_response(request.route, request.http, first)

    async def chunks() -> AsyncIterator[bytes]:
        reply = first
        while True:
            yield reply.body
            if _NEXT_HEADER not in reply.headers:
                return
            if not await gateway.is_still_valid(request):
                raise ConnectionError("the credential has ended")
            context = _with_parameter(request.context, "before", reply.headers[_NEXT_HEADER])
            reply = await _next_chunk(gateway, context)
            if reply.status != 200:
                # The status is sent already: cut the stream, so that it is seen as broken.
                raise ConnectionError("the export was interrupted")

    media_type = first.headers.get("Content-Type", "application/x-ndjson")
    extension = "csv" if media_type.startswith("text/csv") else "ndjson"
    return SlotResponse(
        slot,
        chunks(),
        media_type=media_type,
        headers=NO_STORE | {"Content-Disposition": f'attachment; filename="audit.{extension}"'},
    )


async def _next_chunk(gateway: Gateway, context: Context) -> Reply:
    """Waits for its turn while audit is busy. Raises Problem at the last try."""
    for _ in range(_CHUNK_TRIES - 1):
        try:
            reply = await call_service(gateway.nats, calls.EXPORT_EVENTS, context)
        except Problem:
            reply = None
        if reply is not None and reply.status != 503:
            return reply
        await asyncio.sleep(_POLL_SECONDS)
        context = replace(context, deadline=time.time() + ANSWER_SECONDS)
    return await call_service(gateway.nats, calls.EXPORT_EVENTS, context)


async def follow_events(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """One page. With `Accept: text/event-stream` a stream that stays open, one event for each
    event of the trail, and resumes after the sequence in `Last-Event-ID`.
    """
    if not prefers(request.http.headers.get("accept", ""), EVENT_STREAM, "application/json"):
        return await gateway.forward(request)
    last = request.http.headers.get("last-event-id")
    if last is not None:
        if not (last.isascii() and last.isdigit() and len(last) <= 18):
            raise invalid("Last-Event-ID", "must be the sequence of an event")
        request = replace(request, context=_with_parameter(request.context, "after", last))
    slot = _FEEDS.acquire(request.context.tenant())
    first = await gateway.call_owner(request)
    if first.status != 200:
        return reply_response(request.route, request.http, first)
    if request.http.method == "HEAD":
        return StreamingResponse(_no_events(), media_type=EVENT_STREAM, headers=NO_STORE)
    events = _server_sent_events(gateway, request, first)
    return SlotResponse(slot, events, media_type=EVENT_STREAM, headers=NO_STORE)


async def _no_events() -> AsyncIterator[bytes]:
    """The body of a response to HEAD, which would otherwise stay open."""
    for _ in ():
        yield b""


async def _server_sent_events(
    gateway: Gateway, request: AuthorizedRequest, first: Reply
) -> AsyncIterator[bytes]:
    """Ends after an hour, or when the credential expires or is revoked."""
    started = sent = time.monotonic()
    page = orjson.loads(first.body)
    while True:
        for event in page["events"]:
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (
                event["sequence"],
                event["action"].encode(),
                orjson.dumps(event),
            )
            sent = time.monotonic()
        if time.monotonic() - started > _MAX_SECONDS:
            return
        if not await gateway.is_still_valid(request):
            return
        if time.monotonic() - sent > _KEEP_ALIVE_SECONDS:
            yield b": alive\n\n"
            sent = time.monotonic()
        if not page["has_more"]:
            await asyncio.sleep(_POLL_SECONDS)
        context = _with_parameter(request.context, "after", str(page["next_after"]))
        request = replace(request, context=context)
        page = await _get_page(gateway, request) or page | {"events": [], "has_more": False}


async def _get_page(gateway: Gateway, request: AuthorizedRequest) -> dict[str, Any] | None:
    """None while the owner does not answer."""
    try:
        reply = await gateway.call_owner(request)
    except Problem:
        return None
    return orjson.loads(reply.body) if reply.status == 200 else None


def _with_parameter(context: Context, name: str, value: str) -> Context:
    """The context of the next call, with another value of a query parameter."""
    query = [pair for pair in context.query if pair[0] != name]
    return replace(context, query=(*query, (name, value)), deadline=time.time() + ANSWER_SECONDS)
