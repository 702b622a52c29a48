"""Liveness, readiness and health of one process, and its metrics, as ASGI routes.

Every check has a second at most, so that an answer never hangs. Health says down when a check
that is needed fails, and degraded when another one does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis.telemetry import VERSION

Check = Callable[[], Awaitable[dict[str, Any] | None]]
"""Raises when the thing is not well; may answer details to show."""

CHECK_SECONDS = 1.0


@dataclass(frozen=True)
class _Named:
    name: str
    check: Check
    needed: bool
    ready: bool


class Health:
    """The checks of one process."""

    def __init__(self) -> None:
        self._checks: list[_Named] = []
        self.leaving = False
        """Not ready any more, though all is well: the process is about to stop."""
        self._reporting: asyncio.Task[dict[str, Any]] | None = None

    def add(
        self, name: str, check: Check, *, needed: bool = True, ready: bool | None = None
    ) -> None:
        """Health is down without what is `needed`; so is readiness, unless `ready` differs."""
        self._checks.append(_Named(name, check, needed, needed if ready is None else ready))

    async def report(self) -> dict[str, Any]:
        """`{"status": "ok|degraded|down", "version", "checks": {name: {...}}}`.

        However many ask at once, they are answered by one look: anybody may ask.
        """
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.create_task(self._report())
        return await asyncio.shield(self._reporting)

    async def _report(self) -> dict[str, Any]:
        results = await asyncio.gather(*(_run(each.check) for each in self._checks))
        status = "ok"
        for each, result in zip(self._checks, results, strict=True):
            if result["status"] == "down" and each.needed:
                status = "down"
            elif result["status"] != "ok" and status == "ok":
                status = "degraded"
        checks = {each.name: result for each, result in zip(self._checks, results, strict=True)}
        return {"status": status, "version": VERSION, "checks": checks}

    def routes(self) -> list[Route]:
        """GET /health, /health/ready, /health/live and /metrics."""
        return [
            Route("/health", self._health),
            Route("/health/ready", self._ready),
            Route("/health/live", _live),
            Route("/metrics", _metrics),
        ]

    async def _health(self, _: Request) -> Response:
        report = await self.report()
        return _answer(report, report["status"] != "down")

    async def _ready(self, _: Request) -> Response:
        needed = [each for each in self._checks if each.ready]
        results = await asyncio.gather(*(_run(each.check) for each in needed))
        failed = [
            each.name
            for each, result in zip(needed, results, strict=True)
            if result["status"] == "down"
        ]
        failed += ["leaving"] if self.leaving else []
        return _answer({"status": "down" if failed else "ok", "failed": failed}, not failed)


async def _run(check: Check) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            details = await check() or {}
    except Exception:  # noqa: BLE001 - whatever it is, the thing is not well; no detail leaks
        details = {"status": "down"}
    latency = round((time.perf_counter() - started) * 1000, 1)
    return {"status": "ok", "latency_ms": latency} | details


def _answer(body: dict[str, Any], well: bool) -> Response:
    return JSONResponse(body, 200 if well else 503, headers={"Cache-Control": "no-store"})


async def _live(_: Request) -> Response:
    return _answer({"status": "ok"}, True)


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
