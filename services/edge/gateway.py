"""The way of a request: identified, authenticated, limited, allowed, read, asked, answered.

Bodies are passed on as bytes in both directions: the owner validates, once.
"""

import time
from dataclasses import dataclass
from functools import cache

import structlog
from chassis.request import Reply
from chassis.rpc.client import call_service
from chassis.telemetry import REQUEST_SECONDS
from chassis.tracing import span
from contracts.context import Context
from contracts.problems import Problem
from contracts.scopes import covers
from nats.aio.client import Client
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from edge.callers import Caller, Presented
from edge.credentials import Credentials
from edge.key_owners import KeyOwners
from edge.limits import Limits, of_address, too_many
from edge.receiving import Trace, idempotency_key, printable, query_of, read_body, trace_of
from edge.responding import problem_response, respond
from edge.route import OPERATOR, PUBLIC, TENANT, TENANT_OR_OPERATOR, Route

_seconds = cache(REQUEST_SECONDS.labels)

ANSWER_SECONDS = 1.8
"""An answer within 2 s, whatever hangs behind the edge."""


@dataclass(slots=True)
class Asked:
    """A request that may go on to its owner."""

    route: Route
    request: Request
    caller: Caller
    context: Context
    body: bytes


class Gateway:
    """Answers the routes of the table."""

    def __init__(self, credentials: Credentials, limits: Limits, keys: KeyOwners) -> None:
        self.credentials = credentials
        self._limits = limits
        self._keys = keys
        self.logger = structlog.get_logger().bind()
        self.nats: Client

    async def answer(self, route: Route, request: Request) -> Response:
        """The response to one request, problems included. Never raises but for a lost client."""
        started = time.perf_counter()
        trace = trace_of(request)
        with span(f"{route.method} {route.path}", "SERVER", trace.traceparent) as current:
            response = await self._outcome(route, request, trace, current.traceparent)
            current.set_status(response.status_code)
        response.raw_headers += [
            (name.lower().encode(), value.encode()) for name, value in trace.headers.items()
        ]
        elapsed = time.perf_counter() - started
        _seconds(route.call.name, response.status_code).observe(elapsed)
        self.logger.info(
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
        self, route: Route, request: Request, trace: Trace, traceparent: str
    ) -> Response:
        try:
            return await self._answer(route, request, trace, traceparent)
        except Problem as problem:
            return problem_response(problem, trace.request_id, trace.traceparent)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            self.logger.exception("request_failed", request_id=trace.request_id, path=route.path)
            wrong = Problem("internal_error", "Something went wrong. Tell us the request id.")
            return problem_response(wrong, trace.request_id, trace.traceparent)

    async def _answer(
        self, route: Route, request: Request, trace: Trace, traceparent: str
    ) -> Response:
        address = request.client.host if request.client else None
        context = Context(
            request_id=trace.request_id,
            traceparent=traceparent,
            ip_address=address,
            user_agent=printable(request.headers.get("user-agent")),
            path=request.path_params,
            query=query_of(request),
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
        key = context.idempotency_key = idempotency_key(request)
        owner = context.tenant_id or context.actor_id or context.actor_type
        if key is not None and owner != "system":
            await self._keys.claim(owner, key, route.call.service)

    async def forward(self, asked: Asked) -> Response:
        """Asks the owner and passes its answer on."""
        reply = await self.ask(asked)
        return respond(asked.route, asked.request, reply)

    async def ask(self, asked: Asked) -> Reply:
        """The owner's reply. What changes keys or tenants is forgotten here at once."""
        reply = await call_service(self.nats, asked.route.call, asked.context, asked.body)
        if asked.route.call.service == "projects" and asked.route.method != "GET":
            tenant = asked.caller.tenant_id or asked.context.path.get("id")
            self.credentials.forget_tenant(tenant)
        return reply

    async def _caller(
        self, route: Route, request: Request, context: Context, trace: Trace
    ) -> Caller:
        """Who asks, counted against the limit of the credential, or else of the address."""
        address = context.ip_address

        async def stranger() -> None:
            await self._count(of_address(address), trace)

        if route.access == PUBLIC:
            await stranger()
            return Caller("system")
        try:
            presented = Presented.of(request.headers.get("authorization", ""))
            caller = await self.credentials.find(presented, address, context, stranger)
        except Problem as problem:
            if "RateLimit" not in trace.headers and problem.status in (401, 403):
                await stranger()
            raise
        await self._count(caller.key_id or "operator", trace)
        return caller

    async def _count(self, name: str, trace: Trace) -> None:
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
            self.credentials.use.refused(caller, "insufficient_scope", context.ip_address, context)
            raise Problem(
                "insufficient_scope", f"The credential lacks the scope {access}.", scope=access
            )
