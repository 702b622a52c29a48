"""The API as its callers see it: there, healthy in all its parts, and taking the operator's key."""

import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from tenantry import installation
from tenantry.checks.check import FAILED, LIMIT_SECONDS, OK, WARNING, Check, clock, skipped
from tenantry.failing import Misconfigured

_PARTS = {
    "down": "Look at its log, and at /health/ready on its own port.",
    "degraded": "It goes on; look at its log.",
}


async def examine(url: str | None, data: Path | None) -> list[Check]:
    try:
        address = installation.address(url, data)
    except Misconfigured as wrong:
        return [Check("connection", "API", FAILED, str(wrong), wrong.fix)]
    try:
        async with ClientSession(timeout=ClientTimeout(total=LIMIT_SECONDS)) as http:
            return [
                *await _health(http, address),
                await _operator(http, address, data),
            ]
    except (ClientError, OSError, KeyError, TypeError, ValueError) as error:
        said = str(error) or f"no answer in {LIMIT_SECONDS:.0f} s"
        fix = "Start the edge, or name its address by --url or TENANTRY_URL."
        return [Check("connection", "API", FAILED, f"{address}: {said}", fix)]


async def _health(http: ClientSession, address: str) -> list[Check]:
    begun = time.time()
    async with http.get(f"{address}/health") as answer:
        report: dict[str, Any] = await answer.json()
        date = answer.headers.get("Date")
    milliseconds = (time.time() - begun) * 1000
    found = [Check("connection", "API", OK, f"{address}, {milliseconds:.1f} ms")]
    if date:
        # The header counts whole seconds: half a one is the best guess.
        found.append(clock("API", parsedate_to_datetime(date).timestamp() + 0.5, begun))
    for name, part in report["checks"].items():
        status = part["status"]
        level = OK if status == "ok" else WARNING if status == "degraded" else FAILED
        found.append(Check("health", name, level, status, _PARTS.get(status)))
    return found


async def _operator(http: ClientSession, address: str, data: Path | None) -> Check:
    try:
        key = installation.credential("operator_key", address, data)
    except Misconfigured as wrong:
        return skipped("credential", "operator", str(wrong.more.get("variable")))
    headers = {"Authorization": f"Bearer {key}"}
    async with http.get(f"{address}/v1/admin/tenants?limit=1", headers=headers) as answer:
        status = answer.status
    if status == 200:
        return Check("credential", "operator", OK, "accepted")
    fix = "Set TENANTRY_OPERATOR_KEY here to what the edge was started with."
    return Check("credential", "operator", FAILED, f"answered with {status}", fix)
