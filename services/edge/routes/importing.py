"""Importing users: NDJSON in, one result line for each line out, in order and as they come.

The body is read whole before anything is answered: most clients listen only when they have sent it.
What is answered is never held. Parts of one tenant's imports are asked for one after another.
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
from contracts.problems import Problem
from starlette.responses import Response, StreamingResponse

from edge.gateway import ANSWER_SECONDS, Asked, Gateway
from edge.receiving import read_body
from edge.responding import respond

MEDIA_TYPE = "application/x-ndjson"
MAX_LINES = 10_000
MAX_BYTES = 8 * 1024 * 1024
BODY_SECONDS = 60.0
PART_LINES = 500
PART_BYTES = 1024 * 1024
AT_ONCE = 16
AT_ONCE_FOR_A_TENANT = 4


@dataclass(eq=False)
class _Import:
    """One that is under way: as long as it lives, so does its body."""

    tenant_id: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some lines, the first of them number `first`; null for one that is no UTF-8."""

    number: int
    first: int
    lines: list[str | None]


_UNDER_WAY: WeakSet[_Import] = WeakSet()
_TURNS: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


async def import_users(gateway: Gateway, asked: Asked) -> Response:
    """The first part decides whether there is an answer at all; a bad line fails alone.

    A part that gets no answer is said of each of its lines, and what follows is not tried.
    """
    one = _begin(asked.context.tenant())
    one.body = await read_body(asked.request, MEDIA_TYPE, MAX_BYTES, BODY_SECONDS)
    digest = hashlib.sha256(one.body).hexdigest()
    turn = _TURNS.setdefault(one.tenant_id, asyncio.Lock())
    parts = _parts(one)

    async def done(part: _Part) -> Reply:
        key = asked.context.idempotency_key
        body = {"first": part.first, "digest": digest, "lines": part.lines}
        async with turn:
            context = replace(
                asked.context,
                deadline=time.time() + ANSWER_SECONDS,
                # No caller's own key has a space.
                idempotency_key=None if key is None else f"{key} {part.number}",
            )
            return await gateway.ask(replace(asked, context=context, body=orjson.dumps(body)))

    first = await done(next(parts))
    if first.status != 200:
        return respond(asked.route, asked.request, first)

    async def results() -> AsyncIterator[bytes]:
        yield first.body
        problem: dict[str, Any] | None = None
        for part in parts:
            if problem is None:
                try:
                    reply = await done(part)
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


def _begin(tenant_id: str) -> _Import:
    """Takes one of the places, given back when the import is gone. Raises Problem: 429, 503."""
    if sum(each.tenant_id == tenant_id for each in _UNDER_WAY) >= AT_ONCE_FOR_A_TENANT:
        raise Problem("rate_limited", "Too many imports at once. Wait for one.", retry_after=1)
    if len(_UNDER_WAY) >= AT_ONCE:
        raise Problem("service_unavailable", "Too many imports at once.", retry_after=1)
    one = _Import(tenant_id)
    _UNDER_WAY.add(one)
    return one


def _parts(one: _Import) -> Iterator[_Part]:
    """The lines in parts of bounded size. Raises Problem: 422 for none, 413 for too many."""
    count = one.body.count(b"\n") + (not one.body.endswith(b"\n"))
    if not one.body:
        raise Problem("validation_failed", "Send at least one line of JSON.")
    if count > MAX_LINES:
        raise Problem("payload_too_large", f"Send at most {MAX_LINES} lines at once.")
    number, first, lines, size, start = 0, 1, list[str | None](), 0, 0
    for line in range(1, count + 1):
        end = one.body.find(b"\n", start)
        raw = one.body[start:] if end < 0 else one.body[start:end]
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
