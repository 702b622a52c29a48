"""What `tenantry doctor` checks: all parts at the same time, each with a time limit.

A check does not raise: its result says what is wrong and what to do about it.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from pathlib import Path

from tenantry.checks.api import check_health, check_operator_key
from tenantry.checks.causes import find_causes
from tenantry.checks.configuration import check_configuration
from tenantry.checks.console import check_console
from tenantry.checks.databases import check_databases
from tenantry.checks.disk import check_disk
from tenantry.checks.nats import check_nats
from tenantry.checks.redis import check_redis
from tenantry.checks.replicas import check_replicas
from tenantry.checks.result import CheckResult, failed
from tenantry.errors import Misconfigured
from tenantry.installation import Installation, api_url, find_installation

DEADLINE_SECONDS = 6.0
"""Of all checks, whatever hangs: the command then ends within ten seconds."""


async def run_checks(url: str | None, data: Path | None) -> list[CheckResult]:
    """All results: what failed by itself first, each before what follows from it."""
    results: list[CheckResult] = []
    parts: dict[str, Awaitable[list[CheckResult]]] = {}
    installation = None
    try:
        installation = find_installation(data)
    except Misconfigured as error:
        results.append(failed("configuration", "installation", str(error), error.fix))
    if installation is not None:
        results += [*check_configuration(installation), *check_disk(installation)]
        parts |= _parts_of(installation)
    try:
        address = api_url(url, data)
    except Misconfigured as error:
        results.append(failed("connection", "API", str(error), error.fix))
    else:
        parts["API"] = check_health(address, installation)
        parts["operator"] = check_operator_key(address, data)
    if installation is not None:
        parts["console"] = check_console(installation)
    return find_causes([*results, *await _within_deadline(parts)])


def _parts_of(installation: Installation) -> dict[str, Awaitable[list[CheckResult]]]:
    return {
        "PostgreSQL": check_databases(installation),
        "NATS": check_nats(installation),
        "Redis": check_redis(installation),
        "replicas": check_replicas(installation),
    }


async def _within_deadline(parts: Mapping[str, Awaitable[list[CheckResult]]]) -> list[CheckResult]:
    tasks = {name: asyncio.ensure_future(work) for name, work in parts.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=DEADLINE_SECONDS)
    results: list[CheckResult] = []
    for name, task in tasks.items():
        if task.done():
            results += task.result()
        else:
            task.cancel()
            detail = f"no answer in {DEADLINE_SECONDS:.0f} s"
            results.append(failed("connection", name, detail, "It hangs: look at its log."))
    return results
