"""One attempt: a signed POST, and how the receiver responded. It always returns a result.

A status of 2xx is success; anything else is not, a redirect included. Of the response's body 4 KiB
are read and kept. No error names an address.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from webhooks.rules.address_policy import AddressNotAllowedError, check_url
from webhooks.rules.signature import signature_headers
from webhooks.worker.http_client import was_not_allowed

TIMEOUT_SECONDS = 15.0
MAX_BODY_BYTES = 4096

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What is sent where: `body` is the event as it was recorded."""

    url: str
    event_id: str
    body: bytes
    secrets: Sequence[bytes]


@dataclass(slots=True)
class AttemptResult:
    """How an attempt ended. `outcome` is one of a few words, for metrics and logs."""

    at: datetime
    duration_ms: int = 0
    outcome: str = "failed"
    response_status: int | None = None
    response_body: str | None = None
    error: str | None = None
    retry_after: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.outcome == "succeeded"


async def send(
    session: aiohttp.ClientSession, request: WebhookRequest, *, allow_private: bool = False
) -> AttemptResult:
    """Sends it once, within 15 seconds from the lookup of the name to the last byte read."""
    result = AttemptResult(at=datetime.now(UTC))
    started = time.monotonic()
    try:
        check_url(request.url, allow_private=allow_private)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await _post(session, request, result)
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
        if result.response_status is None:
            result.outcome, result.error = _describe(error)
    status = result.response_status
    if status is not None and 200 <= status < 300:
        result.outcome = "succeeded"
    elif status is not None and 300 <= status < 400:
        result.error = "The receiver redirects; redirects are not followed."
    result.duration_ms = round((time.monotonic() - started) * 1000)
    return result


async def _post(
    session: aiohttp.ClientSession, request: WebhookRequest, result: AttemptResult
) -> None:
    timestamp = int(result.at.timestamp())
    headers = signature_headers(request.secrets, request.event_id, timestamp, request.body)
    async with session.post(
        URL(request.url, encoded=True), data=request.body, headers=headers, allow_redirects=False
    ) as response:
        result.response_status = response.status
        result.retry_after = response.headers.get("Retry-After")
        body = bytearray()
        try:
            while len(body) < MAX_BODY_BYTES and (chunk := await response.content.readany()):
                body += chunk
        finally:
            result.response_body = _printable(bytes(body[:MAX_BODY_BYTES]))
            if not response.content.at_eof():
                response.close()


def _printable(body: bytes) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", body.decode("utf-8", "replace"))


def _describe(error: Exception) -> tuple[str, str]:
    """The outcome, and a sentence for the caller, of an attempt without a response."""
    if isinstance(error, AddressNotAllowedError):
        return "refused", f"The URL {error}."
    if was_not_allowed(error):
        return "refused", "The host's address is not one that webhooks may connect to."
    if isinstance(error, TimeoutError):
        return "timed_out", "There was no answer within 15 seconds."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        detail = "The host name could not be resolved."
    elif isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        detail = "A secure connection could not be made: check the certificate."
    elif isinstance(error, aiohttp.ClientConnectionError | OSError):
        detail = "The connection could not be made, or broke before an answer."
    else:
        return "failed", "The answer was not valid HTTP."
    return "unreachable", detail
