"""One attempt: a signed POST, and how the receiver responded. It always returns a result.

A status of 2xx is success; anything else is not, a redirect included. The status decides even if
the rest of the answer is late, cut or wrong. No error names an address.
"""

import asyncio
import re
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from webhooks.rules.address_policy import AddressNotAllowedError, check_url
from webhooks.rules.signature import signature_headers
from webhooks.worker.answer import Answer, InvalidAnswerError
from webhooks.worker.connect import ConnectionNotAllowedError
from webhooks.worker.http_client import HttpClient
from webhooks.worker.request import WebhookRequest

TIMEOUT_SECONDS = 15.0

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


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
    client: HttpClient, request: WebhookRequest, *, allow_private: bool = False
) -> AttemptResult:
    """Sends it once, within 15 seconds from the lookup of the name to the last byte read."""
    result = AttemptResult(at=datetime.now(UTC))
    started = time.monotonic()
    timestamp = int(result.at.timestamp())
    headers = signature_headers(request.secrets, request.event_id, timestamp, request.body)
    answer = Answer()
    try:
        check_url(request.url, allow_private=allow_private)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await client.post(request, headers, answer)
    except (InvalidAnswerError, OSError, ValueError) as error:
        if answer.status is None:
            result.outcome, result.error = _describe(error)
    status = answer.status
    if status is not None:
        result.response_status, result.retry_after = status, answer.retry_after
        result.response_body = _printable(bytes(answer.body))
    if status is not None and 200 <= status < 300:
        result.outcome = "succeeded"
    elif status is not None and 300 <= status < 400:
        result.error = "The receiver redirects; redirects are not followed."
    result.duration_ms = round((time.monotonic() - started) * 1000)
    return result


def _printable(body: bytes) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", body.decode("utf-8", "replace"))


def _describe(error: Exception) -> tuple[str, str]:
    """The outcome, and a sentence for the caller, of an attempt without a response."""
    if isinstance(error, AddressNotAllowedError):
        return "refused", f"The URL {error}."
    if isinstance(error, ConnectionNotAllowedError):
        return "refused", "The host's address is not one that webhooks may connect to."
    if isinstance(error, TimeoutError):
        return "timed_out", "There was no answer within 15 seconds."
    if isinstance(error, socket.gaierror):
        detail = "The host name could not be resolved."
    elif isinstance(error, ssl.SSLError):
        detail = "A secure connection could not be made: check the certificate."
    elif isinstance(error, OSError):
        detail = "The connection could not be made, or broke before an answer."
    else:
        return "failed", "The answer was not valid HTTP."
    return "unreachable", detail
