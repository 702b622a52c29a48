"""One attempt: signed, sent, and what the receiver said. It always ends in a result.

2xx is success; anything else, a redirect included, is not. Of the answer's body 4 KiB are read and
kept. No error names an address.
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

from webhooks.addresses import Refused, check_url
from webhooks.connecting import was_refused
from webhooks.signature import headers

SECONDS = 15.0
KEPT_BYTES = 4096

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent where: `body` is the event as it was recorded."""

    url: str
    event_id: str
    body: bytes
    secrets: Sequence[bytes]


@dataclass(slots=True)
class Result:
    """How an attempt went. `outcome` is one bounded word for metrics and logs."""

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


async def attempt(
    session: aiohttp.ClientSession, parcel: Parcel, *, allow_private: bool = False
) -> Result:
    """Sends it once, within 15 seconds from the look-up of the name to the last byte read."""
    result = Result(at=datetime.now(UTC))
    started = time.monotonic()
    try:
        check_url(parcel.url, allow_private=allow_private)
        async with asyncio.timeout(SECONDS):
            await _post(session, parcel, result)
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
        if result.response_status is None:
            result.outcome, result.error = _failure(error)
    status = result.response_status
    if status is not None and 200 <= status < 300:
        result.outcome = "succeeded"
    elif status is not None and 300 <= status < 400:
        result.error = "The receiver redirects; redirects are not followed."
    result.duration_ms = round((time.monotonic() - started) * 1000)
    return result


async def _post(session: aiohttp.ClientSession, parcel: Parcel, result: Result) -> None:
    signed = headers(parcel.secrets, parcel.event_id, int(result.at.timestamp()), parcel.body)
    async with session.post(
        URL(parcel.url, encoded=True), data=parcel.body, headers=signed, allow_redirects=False
    ) as response:
        result.response_status = response.status
        result.retry_after = response.headers.get("Retry-After")
        kept = bytearray()
        try:
            while len(kept) < KEPT_BYTES and (chunk := await response.content.readany()):
                kept += chunk
        finally:
            result.response_body = _readable(bytes(kept[:KEPT_BYTES]))
            if not response.content.at_eof():
                response.close()


def _readable(body: bytes) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", body.decode("utf-8", "replace"))


def _failure(error: Exception) -> tuple[str, str]:
    """The word and the sentence for an attempt without an answer."""
    if isinstance(error, Refused):
        return "refused", f"The URL {error}."
    if was_refused(error):
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
