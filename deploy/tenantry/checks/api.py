"""The API: reachable, healthy in all its parts, and accepting the operator's key."""

import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import httpx
from tenantry_client import AsyncClient, RetryPolicy, api
from tenantry_client.errors import (
    ForbiddenError,
    NotSentError,
    TenantryError,
    UnauthenticatedError,
)
from tenantry_client.models import TenantsQuery

from tenantry.checks.result import (
    NO_ANSWER,
    TIMEOUT_SECONDS,
    CheckResult,
    check_clock,
    failed,
    log_of,
    ok,
    skipped,
    warning,
)
from tenantry.connection import http_settings
from tenantry.errors import Misconfigured
from tenantry.installation import Installation, credential

_LEVELS: dict[str, Literal["ok", "warning", "failed"]] = {"ok": "ok", "degraded": "warning"}
_START = "Start the edge, or name its address by --url or TENANTRY_URL."


async def check_health(address: str, installation: Installation | None) -> list[CheckResult]:
    """Of all parts, as the edge reports them; not an operation of the API, so not of its client."""
    started = time.time()
    try:
        async with _http() as http:
            response = await http.get(f"{address}/health")
        milliseconds = (time.time() - started) * 1000
        report: dict[str, Any] = response.json()
        parts = {name: str(part["status"]) for name, part in report["checks"].items()}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = NO_ANSWER if isinstance(error, httpx.TimeoutException) else str(error)
        return [failed("connection", "API", f"{address}: {reason}", _START)]
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
        return [failed("connection", "API", f"{address} is not the API of Tenantry", _START)]
    results = [ok("connection", "API", f"{address}, {milliseconds:.1f} ms")]
    if date := response.headers.get("Date"):
        # The header has whole seconds: half a second is the best guess for the rest.
        seconds = parsedate_to_datetime(date).timestamp() + 0.5
        results.append(check_clock("API", seconds, started))
    folder = installation.folder if installation else None
    return [*results, *(_health_of(name, status, folder) for name, status in parts.items())]


def _health_of(name: str, status: str, folder: Path | None) -> CheckResult:
    if status == "ok":
        return ok("health", name, status)
    if name == "redis":
        return warning("health", name, status, "The product goes on without it.")
    fix = f"Look at {log_of(folder, name)}, and at /health/ready on its own port."
    return CheckResult("health", name, _LEVELS.get(status, "failed"), status, fix)


async def check_operator_key(address: str, data: Path | None) -> list[CheckResult]:
    """Only a refusal speaks of the key; any other failure is of what is behind the edge."""
    try:
        key = credential("operator_key", address, data)
    except Misconfigured as error:
        return [skipped("credential", "operator", str(error.details.get("variable")))]
    wrong = "Set TENANTRY_OPERATOR_KEY here to what the edge was started with."
    try:
        http, once = _http(), RetryPolicy(tries=1)
        async with AsyncClient(address, key, retry_policy=once, http=http) as client:
            await client(api.list_tenants(TenantsQuery(limit=1)))
    except (UnauthenticatedError, ForbiddenError) as refusal:
        return [failed("credential", "operator", f"answered with {refusal.status}", wrong)]
    except NotSentError as error:
        return [failed("credential", "operator", str(error), wrong)]
    except TenantryError as error:
        fix = "It says nothing about the key: something behind the edge did not answer."
        return [failed("request", "operator", str(error).splitlines()[0], fix)]
    return [ok("credential", "operator", "accepted")]


def _http() -> httpx.AsyncClient:
    return httpx.AsyncClient(**http_settings(TIMEOUT_SECONDS))
