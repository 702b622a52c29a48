"""When a request is sent again, and when that ends. Pure: a client does what it yields.

Safe for every request: reads change nothing, and changes carry one Idempotency-Key in all tries.
"""

import random
from collections.abc import Generator
from dataclasses import dataclass

import httpx

from tenantry_client.errors import NoResponseError, ProblemError, error_from, error_of

TRANSIENT_CODES = {
    "rate_limited",
    "service_unavailable",
    "upstream_timeout",
    "idempotency_in_flight",
}
"""Of problems that are over after a while."""


@dataclass(frozen=True)
class RetryPolicy:
    """At most so many tries, none of them after a longer wait, in seconds.

    `Retry-After` of a response is respected: one that is longer than `max_wait` ends it at once.
    """

    tries: int = 5
    max_wait: float = 30.0


@dataclass(frozen=True)
class Wait:
    seconds: float


Steps = Generator[httpx.Request | Wait, httpx.Response | None, httpx.Response]


def with_retries(request: httpx.Request, policy: RetryPolicy) -> Steps:
    """Yields the request to send, or how long to wait; returns the response.

    Send in the response to each request (read, if it is an error), or throw in its
    `httpx.RequestError`. Raises TenantryError.
    """
    tries = 0
    while True:
        tries += 1
        try:
            response = yield request
        except httpx.RequestError as error:
            failure = error_of(error)
            if not isinstance(failure, NoResponseError) or tries >= policy.tries:
                raise failure from error
            seconds = _backoff(tries, policy)
        else:
            assert response is not None, "every request gets a response"
            if not response.is_error:
                return response
            refusal = error_from(response)
            if not isinstance(refusal, ProblemError) or refusal.code not in TRANSIENT_CODES:
                raise refusal
            seconds = refusal.retry_after or _backoff(tries, policy)
            if tries >= policy.tries or seconds > policy.max_wait:
                raise refusal
        yield Wait(seconds)


def _backoff(tries: int, policy: RetryPolicy) -> float:
    """A quarter of a second, doubled at every try, less up to half of it at random."""
    seconds = min(0.25 * 2.0 ** (tries - 1), policy.max_wait)
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
