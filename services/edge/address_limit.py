"""Counts the requests that no call route answers for their address: documents, health, and paths
that there are not. Routes count what they answer themselves.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.http.responses import unrouted_response
from edge.limits.rate_limits import RateLimits, address_bucket

UNCOUNTED = frozenset({"/health/live", "/health/ready"})
"""An orchestrator is not refused, whoever floods from its address: they cost next to nothing."""


class AddressLimit:
    """An ASGI app in front of another."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNCOUNTED:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        grant = await self._limits.take(address_bucket(client[0] if client else None))

        async def send_with_limit(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *grant.headers.items()]
            await send(message)

        if grant.allowed:
            await self._app(scope, receive, send_with_limit)
        else:
            response = unrouted_response(Request(scope), grant.problem())
            await response(scope, receive, send_with_limit)
