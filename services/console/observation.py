"""How the console is observed: a metric and a span of each page, by its route.

Routes are bounded words: what has none is `unrouted`, whatever its path.
"""

import time
from typing import Any

from chassis.telemetry import PAGE_SECONDS
from chassis.tracing import is_enabled, span

UNROUTED = "unrouted"


class Observation:
    """An ASGI app in front of the pages. Their calls of the API are in the trace of the page.

    `unobserved`: how paths begin that are no pages, such as those of probes.
    """

    def __init__(self, app: Any, unobserved: tuple[str, ...]) -> None:
        self._app = app
        self._unobserved = unobserved

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith(self._unobserved):
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_noting_status(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with span(UNROUTED, "SERVER", _traceparent(scope)) as current:
            if is_enabled():
                scope.setdefault("state", {})["traceparent"] = current.traceparent
            try:
                await self._app(scope, receive, send_noting_status)
            finally:
                route = getattr(scope.get("route"), "path", UNROUTED)
                current.set_name(f"{scope['method']} {route}")
                current.set_status(status)
                PAGE_SECONDS.labels(route, status).observe(time.perf_counter() - started)


def _traceparent(scope: Any) -> str:
    """The caller's, as it came: what is no valid one begins a trace."""
    return next(
        (value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), ""
    )
