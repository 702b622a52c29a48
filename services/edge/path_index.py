"""Finds the route of a path segment by segment: the same cost for every route.

FastAPI tries its routes one after another (ADR 6). The index answers what is surely meant for a
`CallRoute` and leaves the rest to FastAPI: without it nothing behaves differently.
"""

from dataclasses import dataclass, field
from urllib.parse import unquote

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.call_route import CallRoute, RouteHandler


@dataclass(slots=True)
class _Node:
    """What may follow here, and the routes of the path that ends here, by method."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    identifier: "_Node | None" = None
    names: list[str] = field(default_factory=list)
    handlers: dict[str, RouteHandler] = field(default_factory=dict)


class PathIndex:
    """An ASGI app in front of a FastAPI app, built from its routes; `other` gets what is for none
    of them, and is the app itself by default.
    """

    def __init__(self, app: FastAPI, other: ASGIApp | None = None) -> None:
        self._app = app
        self._other = other or app
        self._root = _Node()
        for context in iter_route_contexts(app.routes):
            if isinstance(context.original_route, CallRoute):
                self._add(str(context.path), context.original_route)

    def _add(self, path: str, route: CallRoute) -> None:
        node, names = self._root, []
        for segment in path.split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.identifier = node = node.identifier or _Node()
            else:
                node = node.literals.setdefault(segment, _Node())
        node.names = names
        for method in route.answered_methods:
            node.handlers[method] = route.get_route_handler()

    def find(self, method: str, raw_path: str) -> tuple[RouteHandler, dict[str, str]] | None:
        """The handler of the route and its path parameters; None when FastAPI shall look."""
        node, identifiers = self._root, []
        for segment in raw_path.split("/"):
            if "%" in segment:  # decoded after the split: %2F is data (RFC 3986 section 2.2)
                segment = unquote(segment)  # noqa: PLW2901
            literal = node.literals.get(segment)
            if literal is not None:
                node = literal
            elif node.identifier is None or not segment or "/" in segment:
                return None
            else:
                node = node.identifier
                identifiers.append(segment)
        handler = node.handlers.get(method)
        return handler and (handler, dict(zip(node.names, identifiers, strict=True)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http":
            found = self.find(scope["method"], scope["raw_path"].decode("latin-1"))
        if found is None:
            await self._other(scope, receive, send)
            return
        handler, scope["path_params"] = found
        scope["app"] = self._app
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)
