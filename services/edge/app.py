"""The edge: HTTP outside, calls to the owners inside."""

from typing import Any

from chassis.app import App, run_main
from chassis.http_server import HttpServer
from chassis.settings import load
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route as HttpRoute
from starlette.types import Receive, Scope, Send

from edge import asyncapi
from edge.credentials import Credentials
from edge.gateway import Gateway
from edge.health import watch_redis, watch_services
from edge.key_owners import KeyOwners
from edge.limits import REDIS_SECONDS, Limits
from edge.matching import Paths
from edge.openapi import document
from edge.receiving import Incoming
from edge.responding import refuse
from edge.route import Route
from edge.settings import EdgeSettings
from edge.subscribers import router
from edge.table import by_path

FLUSH_USE_SECONDS = 5.0


class PathEndpoint:
    """The routes of one path by method, as an ASGI app."""

    def __init__(self, gateway: Gateway, routes: dict[str, Route]) -> None:
        self._gateway = gateway
        self._routes = routes
        methods = {*routes, "HEAD"} if "GET" in routes else set(routes)
        self._allow = ", ".join(sorted(methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Incoming(scope, receive)
        method = "GET" if request.method == "HEAD" else request.method
        route = self._routes.get(method)
        if route is None:
            response = refuse(request, "method_not_allowed", f"Allowed here: {self._allow}.")
            response.headers["Allow"] = self._allow
        else:
            response = await self._gateway.answer(route, request)
        await response(scope, receive, send)


class Front:
    """The ASGI app: paths of the table go straight to the gateway, all others to FastAPI.

    The gateway has no use for FastAPI's layers, a quarter of the edge's work on a request.
    """

    def __init__(self, gateway: Gateway, others: FastAPI) -> None:
        self._paths = Paths(
            {path: PathEndpoint(gateway, routes) for path, routes in by_path().items()}
        )
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._paths.find(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._others(scope, receive, send)
            return
        endpoint, scope["path_params"] = found
        await endpoint(scope, receive, send)


def make_app(gateway: Gateway, host: App) -> Front:
    """The routes of the table, health, and the documentation."""
    app = FastAPIOffline(
        title="Tenantry", openapi_url="/openapi.json", docs_url="/docs", redoc_url=None
    )
    app.router.redirect_slashes = False
    app.openapi = document  # type: ignore[method-assign]
    app.router.routes.extend(host.health.routes())
    app.router.routes.append(HttpRoute("/asyncapi.json", _asyncapi))
    app.add_exception_handler(HTTPException, _not_routed)
    return Front(gateway, app)


async def _asyncapi(_: Request) -> Response:
    return JSONResponse(asyncapi.document())


async def _not_routed(request: Request, error: Any) -> Response:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "internal_error")
    detail = "There is no such path or method. See /docs."
    response = refuse(request, code, detail)
    response.headers.update(error.headers or {})
    return response


def make_redis(url: str) -> Redis:
    """A client that gives up at once: limits must not cost a request its time."""
    return Redis.from_url(
        url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=32,
    )


async def serve(settings: EdgeSettings) -> int:
    """Runs the edge until SIGTERM; answers the exit code."""
    host = App("edge", settings, settings.drain_seconds)
    redis = make_redis(settings.redis_url.get_secret_value()) if settings.redis_url else None
    credentials = Credentials(settings.operator_key.get_secret_value())
    gateway = Gateway(credentials, Limits(redis, *settings.rate), KeyOwners(redis))
    watch_redis(host.health, redis)

    async def start() -> None:
        gateway.nats = host.nats
        credentials.connect(host.nats)
        host.broker.context.set_global("credentials", credentials)
        host.broker.include_router(router)
        await host.broker.start()
        host.on_reconnect(credentials.forget_all)
        watch_services(host.health, host.nats)
        host.every(FLUSH_USE_SECONDS, "flush_use", credentials.use.flush)
        host.on_stop(credentials.use.flush)

    http = HttpServer(
        make_app(gateway, host), settings.http_host, settings.http_port, settings.trusted_proxies
    )
    return await host.run(http, start)


def main() -> None:
    settings = load(EdgeSettings)
    run_main("edge", settings.log_level, lambda: serve(settings))
