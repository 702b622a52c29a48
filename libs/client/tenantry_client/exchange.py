"""When a request is sent again, and when that ends. Pure: a transport does what it yields.

Safe for every request: reads change nothing, and changes carry one Idempotency-Key in all tries.
"""

import random
from collections.abc import Generator
from dataclasses import dataclass

import httpx

from tenantry_client.errors import NoAnswerError, ProblemError, refusal

PASSING = {"rate_limited", "service_unavailable", "upstream_timeout", "idempotency_in_flight"}


@dataclass(frozen=True)
class Policy:
    """At most so many tries, none of them after a longer wait, in seconds.

    The product's `Retry-After` is honoured: one that is longer ends it at once.
    """

    tries: int = 5
    longest_wait: float = 30.0


@dataclass(frozen=True)
class Pause:
    seconds: float


Steps = Generator[httpx.Request | Pause, httpx.Response | None, httpx.Response]


def exchange(message: httpx.Request, policy: Policy) -> Steps:
    """Yields what is to be sent and how long to wait; returns the answer.

    Give it the response to each message, read as far as it is an error, or throw its
    `httpx.TransportError` in. Raises TenantryError.
    """
    tried = 0
    while True:
        tried += 1
        try:
            response = yield message
        except httpx.TransportError as error:
            if tried >= policy.tries:
                raise NoAnswerError(str(error) or type(error).__name__) from error
            wait = _backoff(tried, policy)
        else:
            assert response is not None, "a message is answered by a response"
            if not response.is_error:
                return response
            refused = refusal(response)
            if not isinstance(refused, ProblemError) or refused.code not in PASSING:
                raise refused
            wait = refused.retry_after or _backoff(tried, policy)
            if tried >= policy.tries or wait > policy.longest_wait:
                raise refused
        yield Pause(wait)


def _backoff(tried: int, policy: Policy) -> float:
    """A quarter of a second, doubled at every try, less up to half of it by chance."""
    wait = min(0.25 * 2.0 ** (tried - 1), policy.longest_wait)
    return wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
