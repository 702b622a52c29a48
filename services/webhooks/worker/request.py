"""The request of an attempt, as it is sent. Pure.

The URL has passed `check_url`: nothing in it can end a line of the head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from chassis.telemetry import VERSION


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What is sent where: `body` is the event as it was recorded."""

    webhook_id: str
    url: str
    content_type: str
    event_id: str
    body: bytes
    secrets: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads; `head` is what every request of one type to it begins with."""

    scheme: str
    host: str
    port: int
    head: str


@lru_cache(maxsize=4096)
def parse_target(url: str, content_type: str) -> Target:
    """The target of a URL that `check_url` has allowed, for bodies of one type."""
    parts = urlsplit(url)
    usual_port = 443 if parts.scheme == "https" else 80
    host, port = parts.hostname or "", parts.port or usual_port
    shown = f"[{host}]" if ":" in host else host
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    head = (
        f"POST {path} HTTP/1.1\r\n"
        f"Host: {shown if port == usual_port else f'{shown}:{port}'}\r\n"
        f"User-Agent: Tenantry-Webhooks/{VERSION}\r\n"
        "Accept: */*\r\n"
        "Accept-Encoding: identity\r\n"
        f"Content-Type: {content_type}\r\n"
    )
    return Target(parts.scheme, host, port, head)


def encode_request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes of a POST with `headers` of ours."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{target.head}{lines}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body
