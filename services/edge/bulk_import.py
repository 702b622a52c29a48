"""The bulk import of users: NDJSON in, one result line for each line out, in order, streamed.

The body is read whole first: most clients read nothing until they have sent all. The results are
never held. Parts of one tenant's imports go to the owner one after another.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import orjson
from chassis.request import Reply
from contracts.problems import Problem, unauthenticated
from starlette.responses import Response, StreamingResponse

from edge.gateway import ANSWER_SECONDS, AuthorizedRequest, Gateway
from edge.http.request import read_body
from edge.http.responses import reply_response

MEDIA_TYPE = "application/x-ndjson"
MAX_LINES = 10_000
MAX_BYTES = 8 * 1024 * 1024
BODY_SECONDS = 60.0
PART_LINES = 500
PART_BYTES = 1024 * 1024
MAX_TOTAL = 16
MAX_PER_TENANT = 4


@dataclass(eq=False)
class _Import:
    """A running import: it counts as long as its body is held."""

    tenant_id: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some lines, the first of them number `first`; None for one that is no UTF-8."""

    number: int
    first: int
    lines: list[str | None]


_RUNNING: WeakSet[_Import] = WeakSet()
_TENANT_LOCKS: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


async def import_users(gateway: Gateway, request: AuthorizedRequest) -> Response:
    """One JSON object a line, as in creating a user, up to 10,000 lines or 8 MiB. One result line
    for each, in order: `{"line", "status": 201, "id"}` or `{"line", "status", "code", "errors"}`.
    A bad line fails alone. Repeated with the same `Idempotency-Key`, what was done is told again
    and the rest is done.
    """
    # The first part decides about the response. A part that gets no answer fails line by line, and
    # the parts after it are not tried.
    running = _start(request.context.tenant())
    running.body = await read_body(request.http, MEDIA_TYPE, MAX_BYTES, BODY_SECONDS)
    digest = hashlib.sha256(running.body).hexdigest()
    lock = _TENANT_LOCKS.setdefault(running.tenant_id, asyncio.Lock())
    parts = _parts(running)

    async def import_part(part: _Part) -> Reply:
        key = request.context.idempotency_key
        body = {"first": part.first, "digest": digest, "lines": part.lines}
        async with lock:
            if not await gateway.is_still_valid(request):
                raise unauthenticated()
            context = replace(
                request.context,
                deadline=time.time() + ANSWER_SECONDS,
                # No caller's own key has a space.
                idempotency_key=None if key is None else f"{key} {part.number}",
            )
            return await gateway.call_owner(
                replace(request, context=context, body=orjson.dumps(body))
            )

    first = await import_part(next(parts))
    if first.status != 200:
        return reply_response(request.route, request.http, first)

    async def results() -> AsyncIterator[bytes]:
        yield first.body
        problem: dict[str, Any] | None = None
        for part in parts:
            if problem is None:
                try:
                    reply = await import_part(part)
                except Problem as error:
                    problem = {"status": error.status, "code": error.code}
                else:
                    if reply.status == 200:
                        yield reply.body
                        continue
                    problem = orjson.loads(reply.body)
            yield _failed(part, problem)

    headers = {"Cache-Control": "no-store", **first.headers}
    return StreamingResponse(results(), headers=headers)


def _start(tenant_id: str) -> _Import:
    """Raises Problem: 429 when the tenant imports enough, 503 when the edge does."""
    if sum(each.tenant_id == tenant_id for each in _RUNNING) >= MAX_PER_TENANT:
        raise Problem("rate_limited", "Too many imports at once. Wait for one.", retry_after=1)
    if len(_RUNNING) >= MAX_TOTAL:
        raise Problem("service_unavailable", "Too many imports at once.", retry_after=1)
    running = _Import(tenant_id)
    _RUNNING.add(running)
    return running


def _parts(running: _Import) -> Iterator[_Part]:
    """The lines in parts of bounded size. Raises Problem: 422 for none, 413 for too many."""
    count = running.body.count(b"\n") + (not running.body.endswith(b"\n"))
    if not running.body:
        raise Problem("validation_failed", "Send at least one line of JSON.")
    if count > MAX_LINES:
        raise Problem("payload_too_large", f"Send at most {MAX_LINES} lines at once.")
    number, first, lines, size, start = 0, 1, list[str | None](), 0, 0
    for line in range(1, count + 1):
        end = running.body.find(b"\n", start)
        raw = running.body[start:] if end < 0 else running.body[start:end]
        if lines and (len(lines) >= PART_LINES or size + len(raw) > PART_BYTES):
            yield _Part(number, first, lines)
            number, first, lines, size = number + 1, line, [], 0
        lines.append(_text(raw))
        size += len(raw)
        start = end + 1
    yield _Part(number, first, lines)


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _failed(part: _Part, problem: dict[str, Any]) -> bytes:
    shown = {"status": problem["status"], "code": problem["code"], "errors": []}
    lines = range(part.first, part.first + len(part.lines))
    return b"".join(orjson.dumps({"line": line, **shown}) + b"\n" for line in lines)
