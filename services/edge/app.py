"""The edge: HTTP outside, calls to the owners inside."""

from typing import Any

from chassis.app import App
from chassis.client_limits import ClientLimits
from chassis.health import Health
from chassis.http_server import HttpServer
from chassis.process import run_main
from chassis.redis_client import open_redis
from chassis.settings import load
from chassis.telemetry import VERSION
from contracts.problems import Problem
from fastapi import FastAPI
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edge import subscribers
from edge.address_limit import AddressLimit
from edge.auth.credentials import Credentials
from edge.call_route import CallRoute
from edge.documents import document_routes
from edge.gateway import Gateway
from edge.health import watch_redis, watch_services
from edge.http.responses import unrouted_response
from edge.idempotency_routing import IdempotencyRouting
from edge.limits.rate_limits import REDIS_SECONDS, RateLimits
from edge.limits.refusal_limits import RefusalLimits
from edge.openapi_extras import DESCRIPTION, add_extras
from edge.openapi_health import add_health
from edge.path_index import PathIndex
from edge.portable_schema import portable
from edge.routers import ROUTERS, ROUTES
from edge.settings import EdgeSettings

FLUSH_USE_SECONDS = 5.0
REFRESH_KEYS_SECONDS = 60.0
"""Should an announcement be missed: projects publishes a key for minutes before it signs."""
MANAGEMENT = ClientLimits(connections=64, connections_per_address=64)


def _routed() -> FastAPI:
    """The routes of the API."""
    app = FastAPI(
        title="Tenantry",
        version=VERSION,
        description=DESCRIPTION,
        servers=[{"url": "/"}],
        openapi_tags=[{"name": router.tags[0]} for router in ROUTERS],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    return app


def _make_document() -> dict[str, Any]:
    document = _routed().openapi()
    add_extras(document, ROUTES)
    add_health(document)
    return {**document, **portable(document)}


DOCUMENT = _make_document()
"""OpenAPI. Made at the import, once for all processes that are forked from one: it takes 18 MB."""


def make_app(gateway: Gateway, health: Health, console_url: str | None = None) -> FastAPI:
    """The routes of the API, health, and the documents."""
    app = _routed()
    app.state.gateway = gateway
    app.router.routes[:0] = health.routes()
    app.add_exception_handler(HTTPException, _unrouted)
    app.openapi = lambda: DOCUMENT  # type: ignore[method-assign] # as FastAPI's pages show it
    app.router.routes.extend(document_routes(app, console_url))
    return app


async def _unrouted(request: Request, error: Exception) -> Response:
    """The problem of a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "internal_error")
    detail = "There is no such path or method. See /docs."
    headers = dict(error.headers or {})
    route = request.scope.get("route")
    if isinstance(route, CallRoute):  # by another method
        same_path = [each for each in ROUTES if each.path == route.path]
        methods = {method for each in same_path for method in each.answered_methods}
        headers["Allow"] = ", ".join(sorted(methods))
        detail = f"Allowed here: {headers['Allow']}."
    response = unrouted_response(request, Problem(code, detail))
    response.headers.update(headers)
    return response


def make_redis(url: str) -> Redis:
    """A client that gives up at once: limits must not cost a request its time."""
    return open_redis(
        url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=32,
    )


async def serve(settings: EdgeSettings) -> int:
    """Runs the edge until SIGTERM; answers the exit code."""
    process = App("edge", settings, settings.drain_seconds)
    redis = make_redis(settings.redis_url.get_secret_value()) if settings.redis_url else None
    keys = (settings.operator_key, settings.operator_key_2)
    credentials = Credentials(*(each.get_secret_value() for each in keys if each))
    credentials.usage.refusal_limits = RefusalLimits(redis)
    limits = RateLimits(redis, settings.rate, settings.tenant_rate)
    gateway = Gateway(credentials, limits, IdempotencyRouting(redis), settings.quotas)
    watch_redis(process.health, redis)

    async def start() -> None:
        gateway.nats = process.nats
        credentials.connect(process.nats)
        process.broker.context.set_global("credentials", credentials)
        process.broker.include_router(subscribers.router)
        await process.broker.start()
        process.on_reconnect(credentials.forget_all)
        refresh_keys = credentials.tokens.keys.refresh
        process.every(REFRESH_KEYS_SECONDS, "refresh_token_keys", refresh_keys, at_once=True)
        watch_services(process.health, process.nats)
        process.every(FLUSH_USE_SECONDS, "flush_use", credentials.usage.flush)
        process.on_stop(credentials.usage.flush)

    app = make_app(gateway, process.health, settings.console_url or None)
    http = HttpServer(
        PathIndex(app, AddressLimit(app, limits)),
        settings.http_host,
        settings.http_port,
        settings.client_limits,
        settings.proxies,
    )
    management = HttpServer(
        Starlette(routes=process.health.management_routes()),
        settings.management_host,
        settings.management_port,
        MANAGEMENT,
    )
    return await process.run(http, start, management)


def main() -> None:
    settings = load(EdgeSettings)
    run_main("edge", settings.log_level, lambda: serve(settings))
