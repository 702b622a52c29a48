"""Liveness, readiness and health of one process, and its metrics, as ASGI routes.

Every check has a second at most, so that an answer never hangs. Health says down when a check
that is needed fails, and degraded when another one does. Anybody may ask: however many do, they
share one look, which is at most a second old.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis.telemetry import VERSION
from chassis.tls import refusal_of

log = structlog.get_logger()

Check = Callable[[], Awaitable[dict[str, Any] | None]]
"""Raises when the thing is not well; may answer details to show."""

CHECK_SECONDS = 1.0
MAX_AGE = 1.0
"""Seconds for which a look serves whoever asks over HTTP."""


@dataclass(frozen=True)
class _Named:
    name: str
    check: Check
    needed: bool
    ready: bool


class _SharedLook:
    """One look at a time, for all who ask."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> None:
        self._look = look
        self._looking: asyncio.Task[dict[str, Any]] | None = None
        self._done_at = 0.0

    async def get(self, max_age: float) -> dict[str, Any]:
        """What was seen at most `max_age` seconds ago, or is seen now."""
        task = self._looking
        if task is None or (task.done() and time.monotonic() - self._done_at >= max_age):
            task = self._looking = asyncio.create_task(self._look())
            task.add_done_callback(self._set_done)
        return await asyncio.shield(task)

    def _set_done(self, _: asyncio.Task[dict[str, Any]]) -> None:
        self._done_at = time.monotonic()


class Health:
    """The checks of one process."""

    def __init__(self) -> None:
        self._checks: list[_Named] = []
        self._all = _SharedLook(self._report)
        self._needed = _SharedLook(self._readiness)
        self._gauges: list[Check] = []
        self._measured = _SharedLook(self._measure)
        self.leaving = False
        """Not ready any more, though all is well: the process is about to stop."""

    def add(
        self, name: str, check: Check, *, needed: bool = True, ready: bool | None = None
    ) -> None:
        """Health is down without what is `needed`; so is readiness, unless `ready` differs."""
        self._checks.append(_Named(name, check, needed, needed if ready is None else ready))

    def add_gauge(self, measure: Check) -> None:
        """`measure` sets a gauge: whenever metrics are asked for, and at no other time."""
        self._gauges.append(measure)

    async def report(self, max_age: float = 0) -> dict[str, Any]:
        """`{"status": "ok|degraded|down", "version", "checks": {name: {...}}}`."""
        return await self._all.get(max_age)

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
        """GET /health, /health/ready and /health/live."""
        return [
            Route("/health", self._health),
            Route("/health/ready", self._ready),
            Route("/health/live", _live),
        ]

    def management_routes(self) -> list[Route]:
        """The same and GET /metrics: for a port that strangers do not reach."""
        return [*self.routes(), Route("/metrics", self._metrics)]

    async def _health(self, _: Request) -> Response:
        report = await self.report(MAX_AGE)
        return _answer(report, report["status"] != "down")

    async def _ready(self, _: Request) -> Response:
        failed = list((await self._needed.get(MAX_AGE))["failed"])
        failed += ["leaving"] if self.leaving else []
        return _answer({"status": "down" if failed else "ok", "failed": failed}, not failed)

    async def _readiness(self) -> dict[str, Any]:
        needed = [each for each in self._checks if each.ready]
        results = await asyncio.gather(*(_run(each.check) for each in needed))
        failed = [
            each.name
            for each, result in zip(needed, results, strict=True)
            if result["status"] == "down"
        ]
        return {"failed": failed}

    async def _metrics(self, _: Request) -> Response:
        await self._measured.get(MAX_AGE)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def _measure(self) -> dict[str, Any]:
        """What cannot be measured now keeps its last value."""
        await asyncio.gather(*map(_run, self._gauges))
        return {}


async def _run(check: Check) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            details = await check() or {}
    except Exception as error:  # noqa: BLE001 - whatever it is, the thing is not well
        details = {"status": "down"}  # no detail leaks, but which certificate it is
        if reason := refusal_of(error):
            details["reason"] = reason
            log.warning("tls_refused", reason=reason, detail=str(error))
    latency = round((time.perf_counter() - started) * 1000, 1)
    return {"status": "ok", "latency_ms": latency} | details


def _answer(body: dict[str, Any], well: bool) -> Response:
    return JSONResponse(body, 200 if well else 503, headers={"Cache-Control": "no-store"})


_LIVE = _answer({"status": "ok"}, True)


async def _live(_: Request) -> Response:
    return _LIVE
