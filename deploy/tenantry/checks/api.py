"""The API: reachable, healthy in all its parts, and accepting the operator's key."""

import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import httpx
from tenantry_client import AsyncClient, RetryPolicy, api
from tenantry_client.errors import ProblemError, TenantryError
from tenantry_client.models import TenantsQuery

from tenantry.api_client import http_settings
from tenantry.checks.result import (
    NO_ANSWER,
    TIMEOUT_SECONDS,
    CheckResult,
    check_clock,
    failed,
    ok,
    skipped,
)
from tenantry.errors import Misconfigured
from tenantry.installation import api_url, credential

_LEVELS: dict[str, Literal["ok", "warning", "failed"]] = {"ok": "ok", "degraded": "warning"}
_FIXES = {
    "down": "Look at its log, and at /health/ready on its own port.",
    "degraded": "It goes on; look at its log.",
}
_NOT_NEEDED = "The product goes on without it, and is well again when it is back."


async def check_api(url: str | None, data: Path | None) -> list[CheckResult]:
    try:
        address = api_url(url, data)
    except Misconfigured as error:
        return [failed("connection", "API", str(error), error.fix)]
    try:
        return [*await _check_health(address), await _check_operator_key(address, data)]
    except (httpx.HTTPError, TenantryError, KeyError, TypeError, ValueError) as error:
        fix = "Start the edge, or name its address by --url or TENANTRY_URL."
        return [failed("connection", "API", f"{address}: {str(error) or NO_ANSWER}", fix)]


async def _check_health(address: str) -> list[CheckResult]:
    """Of all parts, as the edge reports them; not an operation of the API, so not of its client."""
    started = time.time()
    async with _http() as http:
        response = await http.get(f"{address}/health")
    milliseconds = (time.time() - started) * 1000
    results = [ok("connection", "API", f"{address}, {milliseconds:.1f} ms")]
    if date := response.headers.get("Date"):
        # The header has whole seconds: half a second is the best guess for the rest.
        seconds = parsedate_to_datetime(date).timestamp() + 0.5
        results.append(check_clock("API", seconds, started))
    report: dict[str, Any] = response.json()
    for name, part in report["checks"].items():
        status = part["status"]
        level, fix = _LEVELS.get(status, "failed"), _FIXES.get(status)
        if level == "failed" and report["status"] == "degraded":  # with a needed part it is down
            level, fix = "warning", _NOT_NEEDED
        results.append(CheckResult("health", name, level, status, fix))
    return results


async def _check_operator_key(address: str, data: Path | None) -> CheckResult:
    try:
        key = credential("operator_key", address, data)
    except Misconfigured as error:
        return skipped("credential", "operator", str(error.details.get("variable")))
    async with AsyncClient(address, key, retry_policy=RetryPolicy(tries=1), http=_http()) as client:
        try:
            await client(api.list_tenants(TenantsQuery(limit=1)))
        except ProblemError as problem:
            fix = "Set TENANTRY_OPERATOR_KEY here to what the edge was started with."
            return failed("credential", "operator", f"answered with {problem.status}", fix)
    return ok("credential", "operator", "accepted")


def _http() -> httpx.AsyncClient:
    return httpx.AsyncClient(**http_settings(TIMEOUT_SECONDS))
