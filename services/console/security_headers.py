"""What every response of the console says to a browser."""

from collections.abc import Mapping
from typing import Any


class SecurityHeaders:
    """An ASGI app in front of another: nothing of other hosts, nothing inline, no frame, no cache.

    `kept` paths are the console's own files, which a browser may keep.
    """

    POLICY = (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
        "object-src 'none'"
    )
    HEADERS: Mapping[str, str] = {
        "Content-Security-Policy": POLICY,
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }

    def __init__(self, app: Any, kept: str) -> None:
        self._app = app
        self._kept = kept
        self._headers = [
            (name.lower().encode(), text.encode()) for name, text in self.HEADERS.items()
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                keep = scope["path"].startswith(self._kept) and message["status"] < 400
                caching = b"public, max-age=3600" if keep else b"no-store"
                message["headers"] = [
                    *message["headers"], *self._headers, (b"cache-control", caching),
                ]  # fmt: skip
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
