"""The way of a request: authenticate, count, check access, read the body, call the owner, respond.

Bodies are passed on as bytes in both directions: the owner validates, once.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import structlog
from chassis.request import Reply
from chassis.rpc.client import call_service
from chassis.telemetry import REQUEST_SECONDS
from chassis.tracing import span
from contracts.context import Context
from contracts.problems import Problem
from nats.aio.client import Client
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from edge.auth.access import public
from edge.auth.credentials import Credentials
from edge.auth.principals import BearerCredential, Principal
from edge.call_route import CallRoute
from edge.http.request import (
    RequestMetadata,
    read_body,
    read_idempotency_key,
    read_metadata,
    read_query,
    read_user_agent,
    wants_fresh,
)
from edge.http.responses import problem_response, reply_response
from edge.idempotency_routing import IdempotencyRouting
from edge.limits.rate_limits import RateLimits, address_bucket

_seconds = cache(REQUEST_SECONDS.labels)

ANSWER_SECONDS = 1.8
"""A response within 2 s, whatever hangs behind the edge."""
RECHECK_SECONDS = 0.5
"""A credential is checked again before a body is used that took longer than this to come."""


@dataclass(slots=True)
class AuthorizedRequest:
    """A request that may go on to the owner of its call."""

    route: CallRoute
    http: Request
    principal: Principal
    context: Context
    body: bytes


class Gateway:
    """Answers the requests of the `CallRoute`s."""

    def __init__(
        self,
        credentials: Credentials,
        limits: RateLimits,
        idempotency: IdempotencyRouting,
        quotas: Mapping[Any, int],
    ) -> None:
        self.credentials = credentials
        self._limits = limits
        self._idempotency = idempotency
        self._quotas: dict[str, int] = {**quotas}
        self.logger = structlog.get_logger().bind()
        self.nats: Client

    async def handle(self, route: CallRoute, request: Request) -> Response:
        """The response to one request, problems included. Raises nothing."""
        started = time.perf_counter()
        metadata = read_metadata(request)
        is_root = metadata.is_root
        with span(route.label, "SERVER", metadata.traceparent, is_root=is_root) as current:
            if is_root:
                metadata.set_traceparent(current.traceparent)
            response = await self._respond(route, request, metadata, current.traceparent)
            current.set_status(response.status_code)
        response.raw_headers += metadata.headers.items()
        elapsed = time.perf_counter() - started
        _seconds(route.call.name, response.status_code).observe(elapsed)
        self.logger.info(
            "request",
            method=request.method,
            route=route.path,
            status=response.status_code,
            ms=round(elapsed * 1000, 2),
            request_id=metadata.request_id,
            trace_id=metadata.traceparent[3:35],
            actor=metadata.actor,
        )
        return response

    async def _respond(
        self, route: CallRoute, request: Request, metadata: RequestMetadata, traceparent: str
    ) -> Response:
        try:
            context = _context(route, request, metadata, traceparent)
            authorized = await self._authorize(route, request, metadata, context)
            if route.endpoint.handler is not None:
                return await route.endpoint.handler(self, authorized)
            return await self.forward(authorized)
        except Problem as problem:
            return problem_response(problem, metadata.request_id, metadata.traceparent)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            self.logger.exception("request_failed", request_id=metadata.request_id, path=route.path)
            failure = Problem("internal_error", "Something went wrong. Tell us the request id.")
            return problem_response(failure, metadata.request_id, metadata.traceparent)

    async def _authorize(
        self, route: CallRoute, request: Request, metadata: RequestMetadata, context: Context
    ) -> AuthorizedRequest:
        """Raises Problem when the request may not go on."""
        principal = await self._authenticate(route, request, context, metadata)
        context.tenant_id = principal.tenant_id
        context.actor_type = principal.actor_type
        context.actor_id = principal.key_id
        context.scopes = principal.scopes
        context.credential = principal.credential
        context.credential_expires_at = principal.expires_at
        context.secret_version = principal.secret_version
        context.quotas = {**self._quotas, **principal.quotas}
        metadata.actor = principal.key_id or principal.actor_type
        self._check_access(route, principal, context)
        body = b""
        if request.method not in ("GET", "HEAD"):
            context.if_match = _read_if_match(route, request)
            await self._claim_idempotency_key(route, request, context)
            if not route.endpoint.reads_body:
                body = await read_body(request, route.endpoint.media_type)
                await self._check_after_body(request, context)
            context.deadline = time.time() + ANSWER_SECONDS
        return AuthorizedRequest(route, request, principal, context, body)

    async def _authenticate(
        self, route: CallRoute, request: Request, context: Context, metadata: RequestMetadata
    ) -> Principal:
        """The principal, counted against the limits of its key and of its tenant, or else against
        that of its address.
        """
        address = context.ip_address

        async def count_address() -> None:
            await self._count(metadata, address_bucket(address))

        if route.access is public:
            await count_address()
            return Principal("system")
        try:
            credential = BearerCredential.from_header(request.headers.get("authorization", ""))
            principal = await self.credentials.authenticate(
                credential, address, context, count_address
            )
        except Problem as problem:
            if b"ratelimit" not in metadata.headers and problem.status in (401, 403):
                await count_address()
            raise
        if principal.key_id is None:
            await self._count(
                metadata, "operator"
            )  # who looks is not stopped by what a tenant does
        else:
            await self._count(metadata, principal.key_id, principal.tenant_id)
        return principal

    async def _check_after_body(self, request: Request, context: Context) -> None:
        """Raises Problem (401, 403) when the credential ended while a slow body was read."""
        began = context.deadline - ANSWER_SECONDS
        if context.tenant_id is not None and time.time() - began > RECHECK_SECONDS:
            context.deadline = time.time() + ANSWER_SECONDS
            await self._authenticate_again(request, context)

    async def is_still_valid(self, request: AuthorizedRequest) -> bool:
        """Whether the credential of a request that takes long would still be taken."""
        context = replace(request.context, query=(), deadline=time.time() + ANSWER_SECONDS)
        try:
            await self._authenticate_again(request.http, context)
        except Problem as problem:
            return problem.status >= 500
        return True

    async def _authenticate_again(self, request: Request, context: Context) -> None:
        credential = BearerCredential.from_header(request.headers["authorization"])
        await self.credentials.authenticate(credential, context.ip_address, context)

    async def _count(
        self, metadata: RequestMetadata, bucket: str, tenant_id: str | None = None
    ) -> None:
        grant = await self._limits.take(bucket, tenant_id)
        metadata.headers |= grant.headers
        if not grant.allowed:
            raise grant.problem()

    def _check_access(self, route: CallRoute, principal: Principal, context: Context) -> None:
        """Raises Problem (403). A lacking scope is recorded for the tenant."""
        try:
            route.check_access(principal)
        except Problem as problem:
            if "scope" in problem.extra:
                self.credentials.usage.record_refusal(
                    principal, problem.code, context.ip_address, context
                )
            raise

    async def _claim_idempotency_key(
        self, route: CallRoute, request: Request, context: Context
    ) -> None:
        key = context.idempotency_key = read_idempotency_key(request)
        owner = context.tenant_id or context.actor_id or context.actor_type
        if key is not None and owner != "system":
            await self._idempotency.claim(owner, key, route.call.service)

    async def forward(self, request: AuthorizedRequest) -> Response:
        """Calls the owner and passes its reply on."""
        reply = await self.call_owner(request)
        return reply_response(request.route, request.http, reply)

    async def call_owner(self, request: AuthorizedRequest) -> Reply:
        """The owner's reply. What is cached of the keys of a tenant ends with a change of them."""
        reply = await call_service(self.nats, request.route.call, request.context, request.body)
        if request.route.call.service == "projects" and request.route.method != "GET":
            tenant = request.principal.tenant_id or request.context.path.get("id")
            self.credentials.forget_tenant(tenant)
        return reply


def _read_if_match(route: CallRoute, request: Request) -> str | None:
    """The condition of a write. Raises Problem (412) where a resource has no version to match."""
    condition = request.headers.get("if-match")
    if condition not in (None, "*") and "version_mismatch" not in route.call.problems:
        raise Problem(
            "version_mismatch", "There is no version to match. Repeat the request without If-Match."
        )
    return condition


def _context(
    route: CallRoute, request: Request, metadata: RequestMetadata, traceparent: str
) -> Context:
    return Context(
        request_id=metadata.request_id,
        traceparent=traceparent,
        ip_address=request.client.host if request.client else None,
        user_agent=read_user_agent(request),
        path=request.path_params,
        query=read_query(request),
        fresh=route.call.may_lag and wants_fresh(request),
        deadline=time.time() + ANSWER_SECONDS,
    )
