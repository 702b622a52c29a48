"""Reads a request within limits: its ids, headers, query and body."""

import asyncio
import re
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from urllib.parse import parse_qsl

from chassis.tracing import new_request_id, new_traceparent
from contracts.problems import Problem, invalid
from starlette.requests import Request

MAX_BODY = 256 * 1024
BODY_SECONDS = 10.0

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class EdgeRequest(Request):
    """A request whose headers are a dictionary with names in lower case.

    Repeated headers are one list (RFC 9110 5.3): where one value is due, that is none that is
    valid. Blanks around a value do not belong to it (5.5). Starlette's headers search a list for
    every look-up.
    """

    @cached_property
    def headers(self) -> dict[str, str]:  # type: ignore[override]
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip(" \t")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


@dataclass(slots=True)
class RequestMetadata:
    """The ids of a request, and what its response and its log line add to them.

    `is_root` says that the caller sent no trace: the one of `traceparent` begins here.
    `headers` are those that every response carries, as ASGI has them: bytes, names in lower case.
    """

    request_id: str
    traceparent: str
    headers: dict[bytes, bytes]
    is_root: bool = False
    actor: str | None = None

    def set_traceparent(self, traceparent: str) -> None:
        """The trace that the request has begun, in the response too."""
        self.traceparent = traceparent
        self.headers[b"traceparent"] = traceparent.encode()


def read_metadata(request: Request) -> RequestMetadata:
    """The caller's request id and trace if they are well formed, else new ones."""
    request_id = request.headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = new_request_id()
    traceparent = request.headers.get("traceparent", "")
    is_root = not _TRACEPARENT.fullmatch(traceparent)
    if is_root:
        traceparent = new_traceparent()
    headers = {b"x-request-id": request_id.encode(), b"traceparent": traceparent.encode()}
    return RequestMetadata(request_id, traceparent, headers, is_root)


def read_idempotency_key(request: Request) -> str | None:
    """None without one. Raises Problem (422)."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise invalid("Idempotency-Key", "must be 1-255 visible ASCII characters")
    return key


def prefers(accept: str, media_type: str, usual: str) -> bool:
    """Whether a caller names this media type in `Accept`, and wants the usual one no more than it
    (RFC 9110 12.5.1).
    """
    ranges = {}
    for each in accept.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        ranges[name] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    wanted = ranges.get(media_type, 0.0)
    return wanted > 0 and wanted >= ranges.get(usual, 0.0)


def wants_fresh(request: Request) -> bool:
    """Whether `Cache-Control` has `no-cache` (RFC 9111 5.2.1.4)."""
    directives = request.headers.get("cache-control", "").lower().split(",")
    return any(each.strip() == "no-cache" for each in directives)


def read_query(request: Request) -> tuple[tuple[str, str], ...]:
    """The decoded pairs in their order."""
    query: bytes = request.scope["query_string"]
    if not query:
        return ()
    return tuple(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))


def read_user_agent(request: Request) -> str | None:
    """The User-Agent without control characters, at most 512 characters."""
    agent = request.headers.get("user-agent")
    if agent is None:
        return None
    if not agent.isprintable():
        agent = "".join(character for character in agent if character.isprintable())
    return agent[:512]


async def read_body(
    request: Request, media_type: str, limit: int = MAX_BODY, seconds: float = BODY_SECONDS
) -> bytes:
    """The whole body. Raises Problem: 413, 415, or 408 when it comes too slowly."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise Problem("request_timeout", f"Send the body within {seconds:.0f} seconds.") from None
    body = b"".join(chunks)
    if body:
        _check_media_type(request, media_type)
    return body


def _too_large(limit: int) -> Problem:
    return Problem("payload_too_large", f"The body may have at most {limit // 1024} KiB.")


def _check_media_type(request: Request, media_type: str) -> None:
    """Media types, charsets and codings are compared without regard to case (RFC 9110 8.3, 8.4)."""
    if request.headers.get("content-type") == media_type and not request.headers.get(
        "content-encoding"
    ):
        return
    given = Message()
    given["Content-Type"] = request.headers.get("content-type", "")
    charset = given.get_content_charset() or "utf-8"
    encoding = request.headers.get("content-encoding", "identity").lower()
    if (
        given.get_content_type() != media_type
        or charset not in ("utf-8", "utf8")
        or encoding != "identity"
    ):
        raise Problem(
            "unsupported_media_type", f"Send the body as Content-Type: {media_type}, in UTF-8."
        )
