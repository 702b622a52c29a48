"""The way of a request: identified, authenticated, limited, allowed, read, asked, answered.

Bodies are passed on as bytes in both directions: the owner validates, once.
"""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson
import structlog
from chassis.ask import Reply
from chassis.rpc import ask
from chassis.telemetry import REQUEST_SECONDS
from chassis.tracing import span
from contracts.context import Context
from contracts.problems import Problem, invalid
from contracts.scopes import covers
from nats.aio.client import Client
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge.credentials import Caller, Credentials, unauthenticated
from edge.key_owners import KeyOwners
from edge.limits import Limits, of_address, too_many
from edge.route import OPERATOR, PUBLIC, TENANT, TENANT_OR_OPERATOR, Route, location_of

log = structlog.get_logger()

MAX_BODY = 256 * 1024
ANSWER_SECONDS = 1.8
"""An answer within 2 s, whatever hangs behind the edge."""
BODY_SECONDS = 10.0

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may go on to its owner."""

    route: Route
    request: Request
    caller: Caller
    context: Context
    body: bytes


@dataclass(slots=True)
class _Trace:
    """What every answer says of its request; `headers` grow on the way."""

    request_id: str
    traceparent: str
    headers: dict[str, str]
    actor: str | None = None


class Gateway:
    """Answers the routes of the table."""

    def __init__(self, credentials: Credentials, limits: Limits, keys: KeyOwners) -> None:
        self.credentials = credentials
        self._limits = limits
        self._keys = keys
        self.nats: Client

    async def answer(self, route: Route, request: Request) -> Response:
        """The response to one request, problems included. Never raises but for a lost client."""
        started = time.perf_counter()
        trace = trace_of(request)
        with span(f"{route.method} {route.path}", "SERVER", trace.traceparent) as current:
            response = await self._outcome(route, request, trace, current.traceparent)
            current.ended(response.status_code)
        for name, value in trace.headers.items():
            response.headers[name] = value
        elapsed = time.perf_counter() - started
        REQUEST_SECONDS.labels(route.call.name, response.status_code).observe(elapsed)
        log.info(
            "request",
            method=request.method,
            route=route.path,
            status=response.status_code,
            ms=round(elapsed * 1000, 2),
            request_id=trace.request_id,
            trace_id=trace.traceparent[3:35],
            actor=trace.actor,
        )
        return response

    async def _outcome(
        self, route: Route, request: Request, trace: _Trace, traceparent: str
    ) -> Response:
        try:
            return await self._answer(route, request, trace, traceparent)
        except Problem as problem:
            return problem_response(problem, trace.request_id, trace.traceparent)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            log.exception("request_failed", request_id=trace.request_id, path=route.path)
            wrong = Problem("internal_error", "Something went wrong. Tell us the request id.")
            return problem_response(wrong, trace.request_id, trace.traceparent)

    async def _answer(
        self, route: Route, request: Request, trace: _Trace, traceparent: str
    ) -> Response:
        address = request.client.host if request.client else None
        context = Context(
            request_id=trace.request_id,
            traceparent=traceparent,
            ip_address=address,
            user_agent=_printable(request.headers.get("user-agent")),
            path=request.path_params,
            query=_query(request),
            deadline=time.time() + ANSWER_SECONDS,
        )
        caller = await self._caller(route, request, context, trace)
        context.tenant_id = caller.tenant_id
        context.actor_type = caller.actor_type
        context.actor_id = caller.key_id
        context.scopes = caller.scopes
        context.credential = caller.credential
        context.credential_expires_at = caller.expires_at
        trace.actor = caller.key_id or caller.actor_type
        self._allow(route, caller, context)
        body = b""
        if request.method not in ("GET", "HEAD"):
            await self._claim_key(route, request, context)
            context.if_match = request.headers.get("if-match")
            if not route.reads_body:
                body = await read_body(request, route.media_type)
            context.deadline = time.time() + ANSWER_SECONDS
        asked = Asked(route, request, caller, context, body)
        if route.handler is not None:
            return await route.handler(self, asked)
        return await self.forward(asked)

    async def _claim_key(self, route: Route, request: Request, context: Context) -> None:
        key = context.idempotency_key = _idempotency_key(request)
        owner = context.tenant_id or context.actor_id or context.actor_type
        if key is not None and owner != "system":
            await self._keys.claim(owner, key, route.call.service)

    async def forward(self, asked: Asked) -> Response:
        """Asks the owner and passes its answer on."""
        reply = await self.ask(asked)
        return respond(asked, reply)

    async def ask(self, asked: Asked) -> Reply:
        """The owner's reply. What changes keys or tenants is forgotten here at once."""
        reply = await ask(self.nats, asked.route.call, asked.context, asked.body)
        if asked.route.call.service == "projects" and asked.route.method != "GET":
            tenant = asked.caller.tenant_id or asked.context.path.get("id")
            self.credentials.forget_tenant(tenant)
        return reply

    async def _caller(
        self, route: Route, request: Request, context: Context, trace: _Trace
    ) -> Caller:
        """Who asks, counted against the limit of the credential, or else of the address."""
        authorization = request.headers.get("authorization", "")
        address = context.ip_address
        if route.access == PUBLIC:
            await self._count(of_address(address), trace)
            return Caller("system")
        if not authorization:
            await self._count(of_address(address), trace)
            raise unauthenticated()
        if not self.credentials.knows(authorization):
            await self._count(of_address(address), trace)
        try:
            caller = await self.credentials.find(authorization, address, context)
        except Problem as problem:
            if "RateLimit" not in trace.headers and problem.status in (401, 403):
                await self._count(of_address(address), trace)
            raise
        await self._count(caller.key_id or "operator", trace)
        return caller

    async def _count(self, name: str, trace: _Trace) -> None:
        grant = await self._limits.take(name)
        trace.headers |= grant.headers
        if not grant.allowed:
            raise too_many(grant)

    def _allow(self, route: Route, caller: Caller, context: Context) -> None:
        """Raises Problem (403) naming what is lacking."""
        access = route.access
        if access in (PUBLIC, TENANT_OR_OPERATOR):
            return
        if access == OPERATOR:
            if not caller.is_operator:
                raise Problem("insufficient_scope", "Only the operator may do this.")
            return
        if caller.is_operator:
            raise Problem(
                "insufficient_scope",
                "The operator has no tenant of its own. Use an API key of the tenant.",
            )
        if access != TENANT and not covers(caller.scopes, access):
            self.credentials.refused(caller, "insufficient_scope", context.ip_address, context)
            raise Problem(
                "insufficient_scope", f"The credential lacks the scope {access}.", scope=access
            )


class PathEndpoint:
    """The routes of one path by method, as an ASGI app for Starlette's router."""

    def __init__(self, gateway: Gateway, routes: dict[str, Route]) -> None:
        self._gateway = gateway
        self._routes = routes
        methods = {*routes, "HEAD"} if "GET" in routes else set(routes)
        self._allow = ", ".join(sorted(methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        method = "GET" if request.method == "HEAD" else request.method
        route = self._routes.get(method)
        if route is None:
            response = refuse(request, "method_not_allowed", f"Allowed here: {self._allow}.")
            response.headers["Allow"] = self._allow
        else:
            response = await self._gateway.answer(route, request)
        await response(scope, receive, send)


def trace_of(request: Request) -> _Trace:
    """The caller's request id and trace where they are well formed, else fresh ones."""
    request_id = request.headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = f"req_{secrets.token_hex(12)}"
    traceparent = request.headers.get("traceparent", "")
    if not _TRACEPARENT.fullmatch(traceparent):
        traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    echoed = {"X-Request-Id": request_id, "traceparent": traceparent}
    return _Trace(request_id, traceparent, echoed)


def refuse(request: Request, code: str, detail: str) -> Response:
    """A problem before any route was found."""
    trace = trace_of(request)
    response = problem_response(Problem(code, detail), trace.request_id, trace.traceparent)
    response.headers.update(trace.headers)
    return response


def problem_response(problem: Problem, request_id: str, traceparent: str) -> Response:
    """RFC 9457, with the headers that belong to a status."""
    body = orjson.dumps(problem.body(request_id, traceparent[3:35]))
    return _finished(Response(body, problem.status), problem.extra.get("retry_after"))


def _finished(response: Response, retry_after: object = None) -> Response:
    if response.status_code >= 400:
        response.headers["Content-Type"] = "application/problem+json"
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def respond(asked: Asked, reply: Reply) -> Response:
    """The owner's reply as a response: ETag, Location, 304."""
    headers = dict(reply.headers)
    if reply.version is not None:
        headers["ETag"] = f'"{reply.version}"'
    if reply.created is not None:
        headers["Location"] = location_of(asked.route, asked.request, reply.created)
    if reply.status == 200 and asked.route.method == "GET" and "ETag" in headers:
        known = asked.request.headers.get("if-none-match", "")
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        if headers["ETag"] in tags or "*" in tags:
            return _finished(Response(status_code=304, headers=headers))
    if reply.body:
        headers.setdefault("Content-Type", "application/json")
    return _finished(Response(reply.body, reply.status, headers))


async def read_body(
    request: Request, media_type: str, limit: int = MAX_BODY, seconds: float = BODY_SECONDS
) -> bytes:
    """The whole body. Raises Problem: 413, 415, or 408 when it comes too slowly."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise Problem("request_timeout", f"Send the body within {seconds:.0f} seconds.") from None
    body = b"".join(chunks)
    if body:
        _check_media_type(request, media_type)
    return body


def _too_large(limit: int) -> Problem:
    return Problem("payload_too_large", f"The body may have at most {limit // 1024} KiB.")


def _check_media_type(request: Request, media_type: str) -> None:
    given, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "").removeprefix("charset=")
    encoding = request.headers.get("content-encoding", "identity")
    if (
        given.strip().lower() != media_type
        or charset not in ("", "utf-8")
        or encoding != "identity"
    ):
        raise Problem(
            "unsupported_media_type", f"Send the body as Content-Type: {media_type}, in UTF-8."
        )


def _query(request: Request) -> tuple[tuple[str, str], ...]:
    query: bytes = request.scope["query_string"]
    return tuple(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise invalid("Idempotency-Key", "must be 1-255 visible ASCII characters")
    return key


def _printable(agent: str | None) -> str | None:
    """The User-Agent without control characters, at most 512 characters."""
    if agent is None:
        return None
    return "".join(character for character in agent if character.isprintable())[:512]
