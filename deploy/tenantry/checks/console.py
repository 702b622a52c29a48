"""The console: reachable, reaching the edge with the right key, and keeping who is signed in."""

import time
from typing import Any

import httpx

from tenantry.checks.result import (
    NO_ANSWER,
    TIMEOUT_SECONDS,
    CheckResult,
    failed,
    log_of,
    ok,
    skipped,
    warning,
)
from tenantry.connection import http_settings
from tenantry.installation import Installation


async def check_console(installation: Installation) -> list[CheckResult]:
    """Nothing of a data folder that runs without one."""
    url, log = installation.console_url, log_of(installation.folder, "console")
    if not url:
        variable = "TENANTRY_CONSOLE_URL"
        return [] if installation.folder else [skipped("connection", "console", variable)]
    start = f"Start the console, or correct its address (TENANTRY_CONSOLE_URL); look at {log}."
    started = time.time()
    try:
        async with httpx.AsyncClient(**http_settings(TIMEOUT_SECONDS)) as http:
            response = await http.get(f"{url.rstrip('/')}/health")
        milliseconds = (time.time() - started) * 1000
        report: dict[str, Any] = response.json()
        parts = {name: str(report["checks"][name]["status"]) for name in ("edge", "redis")}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = NO_ANSWER if isinstance(error, httpx.TimeoutException) else str(error)
        return [failed("connection", "console", f"{url}: {reason}", start)]
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
        return [failed("connection", "console", f"{url} is not the console of Tenantry", start)]
    return [
        ok("connection", "console", f"{url}, {milliseconds:.1f} ms"),
        _edge_of(parts["edge"], log),
        _sessions_of(parts["redis"]),
    ]


def _edge_of(status: str, log: str) -> CheckResult:
    if status == "ok":
        return ok("health", "console", "it reaches the API")
    fix = (
        "Set TENANTRY_CONSOLE_EDGE_URL of the console to the address of the API, and its "
        f"TENANTRY_PROXY_KEY to that of the edge; look at {log}."
    )
    return failed("health", "console", "it does not reach the API, or is refused there", fix)


def _sessions_of(status: str) -> CheckResult:
    if status == "ok":
        return ok("sessions", "console", "can be kept")
    fix = "Check that Redis runs, and TENANTRY_REDIS_URL of the console; the API goes on without."
    return warning("sessions", "console", "nobody can sign in: no Redis", fix)
