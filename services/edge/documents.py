"""The documents of the API: made once, sent as the same bytes to everybody, with an ETag.

A browser runs nothing in them but their own scripts, and shows them in no frame.
"""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import fastapi_offline
import orjson
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from edge import asyncapi
from edge.http.request import prefers

_STATIC = Path(fastapi_offline.__file__).parent / "static"
_STATIC_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_LINKS = {
    "documentation": "/docs",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
    "health": "/health",
}
_CLOSED = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_PAGE = f"{_CLOSED}; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class Document:
    """A GET endpoint. `make` runs in a thread when the document is first asked for."""

    def __init__(self, make: Callable[[], bytes], media_type: str, policy: str = _CLOSED) -> None:
        self._make = make
        self._headers = {
            "Cache-Control": "no-cache",
            "Content-Type": media_type,
            "Content-Security-Policy": policy,
            "X-Frame-Options": "DENY",
        }
        self._body: bytes | None = None
        self._making = asyncio.Lock()

    async def __call__(self, request: Request) -> Response:
        async with self._making:
            if self._body is None:
                self._body = await asyncio.to_thread(self._make)
                self._headers["ETag"] = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'
        if self._is_known(request):
            return Response(status_code=304, headers=self._headers)
        return Response(self._body, headers=self._headers)

    def _is_known(self, request: Request) -> bool:
        known = ",".join(request.headers.getlist("if-none-match"))
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return self._headers["ETag"] in tags or "*" in tags


def document_routes(app: FastAPI, console_url: str | None) -> Iterator[Route]:
    """The OpenAPI and AsyncAPI documents, the page that shows the former, and what names them."""
    yield _start_route(app, console_url)
    openapi = orjson.dumps(app.openapi())
    yield _route("/openapi.json", lambda: openapi, "application/json")
    yield _route("/asyncapi.json", lambda: orjson.dumps(asyncapi.document()), "application/json")
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=app.title,
        oauth2_redirect_url=None,
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
    )
    html = bytes(page.body)
    policy = f"{_PAGE}; script-src 'self' {_script_hashes(html.decode())}"
    yield _route("/docs", lambda: html, "text/html; charset=utf-8", policy)
    for name, media_type in _STATIC_TYPES.items():
        yield _route(f"/docs/{name}", (_STATIC / name).read_bytes, media_type)


def _route(path: str, make: Callable[[], bytes], media_type: str, policy: str = _CLOSED) -> Route:
    document = Document(make, media_type, policy)

    async def get(request: Request) -> Response:
        return await document(request)

    return Route(path, get)


def _start_route(app: FastAPI, console_url: str | None) -> Route:
    """The links; a browser is sent to the console, or without one to the page of the API."""
    links = _LINKS if console_url is None else {"console": console_url, **_LINKS}
    body = orjson.dumps({"name": app.title, "version": app.version, "links": links})
    document = Document(lambda: body, "application/json")
    headers = {"Vary": "Accept", "Content-Security-Policy": _CLOSED, "X-Frame-Options": "DENY"}

    async def get(request: Request) -> Response:
        accept = ",".join(request.headers.getlist("accept"))
        if prefers(accept, "text/html", "application/json"):
            return RedirectResponse(console_url or _LINKS["documentation"], 302, headers)
        response = await document(request)
        response.headers["Vary"] = "Accept"
        return response

    return Route("/", get)


def _script_hashes(html: str) -> str:
    digests = [hashlib.sha256(each.encode()).digest() for each in _INLINE_SCRIPT.findall(html)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
