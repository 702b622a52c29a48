"""The console: pages over the API, which is all that it talks to."""

from pathlib import Path

import httpx
from chassis.client_addresses import TrustedProxies
from chassis.client_limits import ClientLimits
from chassis.encryption import Keyring
from chassis.health import Health
from chassis.http_protocol import PROXY_KEY
from chassis.http_server import HttpServer
from chassis.process import Process, run_main
from chassis.redis_client import open_redis
from chassis.settings import load, parse_encryption_keys
from fastapi import FastAPI
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles

from console.deadline import Deadline
from console.errors import add_error_pages, late_page
from console.observation import Observation
from console.pages import ROUTERS
from console.security_headers import SecurityHeaders
from console.settings import CALL_SECONDS, PAGE_SECONDS, REDIS_SECONDS, ConsoleSettings
from console.sign_in import Sessions
from console.web import Edge

HEALTH, STATIC = "/health", "/static"
FORM_BYTES = 512 * 1024
"""Of any body but that of an import: twice what the API takes, for what a form encodes."""
MANAGEMENT = ClientLimits(connections=64, connections_per_address=64)


def make_app(sessions: Sessions, edge: Edge, health: Health) -> FastAPI:
    """All pages, and health."""
    app = FastAPI(
        title="Tenantry console",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        max_body_size=FORM_BYTES,
    )
    app.state.sessions = sessions
    app.state.edge = edge
    app.router.routes.extend(health.routes())
    app.mount(STATIC, StaticFiles(directory=Path(__file__).parent / "static"))
    for router in ROUTERS:
        app.include_router(router)
    add_error_pages(app)
    return app


async def serve(settings: ConsoleSettings) -> int:
    """Runs the console until SIGTERM; answers the exit code."""
    process = Process("console", settings.drain_seconds)
    keyring = Keyring(parse_encryption_keys(settings.console_keys.get_secret_value()))
    redis = None
    if settings.redis_url:
        url = settings.redis_url.get_secret_value()
        redis = open_redis(
            url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 1),  # for a connection that has gone stale
        )
    transport = httpx.AsyncHTTPTransport()
    headers = {}
    if settings.proxy_key:
        headers[PROXY_KEY.decode()] = settings.proxy_key.get_secret_value()
    edge = Edge(settings.console_edge_url, transport, CALL_SECONDS, headers)

    async def check_edge() -> None:
        (await edge.http().get("/health/ready")).raise_for_status()

    async def check_redis() -> None:
        if redis is not None:
            await redis.ping()

    process.health.add("edge", check_edge, ready=False)
    process.health.add("redis", check_redis, needed=False)
    app = make_app(Sessions(keyring, redis), edge, process.health)
    http = HttpServer(
        SecurityHeaders(
            Observation(Deadline(app, PAGE_SECONDS, late_page), (HEALTH, STATIC)), STATIC
        ),
        settings.http_host,
        settings.http_port,
        proxies=TrustedProxies(settings.trusted_proxies),
    )
    management = HttpServer(
        Starlette(routes=process.health.management_routes()),
        settings.management_host,
        settings.management_port,
        MANAGEMENT,
    )

    async def start() -> None:
        process.on_stop(transport.aclose)

    return await process.run(http, start, management)


def main() -> None:
    settings = load(ConsoleSettings)
    run_main("console", settings.log_level, lambda: serve(settings))
