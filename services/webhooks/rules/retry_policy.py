"""When a failed attempt is repeated, and when a webhook has failed for too long.

Pure: the clock and the random number are parameters.
"""

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
JITTER = 0.1
MAX_RETRY_AFTER = timedelta(hours=24)
MAX_HEADER_LENGTH = 64
"""Twice a date of HTTP."""
DISABLE_AFTER = timedelta(days=5)


def next_attempt_at(
    failures: int, now: datetime, retry_after: str | None = None, chance: float | None = None
) -> datetime | None:
    """When to try again after so many failures in a row, or None after the last attempt.

    `retry_after` is the receiver's header (RFC 9110 section 10.2.3): a wait of at least that long,
    at most 24 hours. It never shortens a delay. `chance`, from 0 to 1, decides the jitter.
    """
    if failures > len(DELAYS):
        return None
    chance = random.random() if chance is None else chance  # noqa: S311 - no secret
    delay = DELAYS[failures - 1] * (1 - JITTER + 2 * JITTER * chance)
    return now + max(delay, _requested_wait(retry_after, now))


def _requested_wait(retry_after: str | None, now: datetime) -> timedelta:
    """The wait that the receiver requests; zero if its header is invalid."""
    text = (retry_after or "").strip()
    if len(text) > MAX_HEADER_LENGTH:
        return timedelta(0)
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return timedelta(0)
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(timedelta(0), min(until - now, MAX_RETRY_AFTER))


def has_failed_too_long(failing_since: datetime | None, now: datetime) -> bool:
    """Whether every attempt of the last five days failed. Enabling the webhook resets the time."""
    return failing_since is not None and now - failing_since >= DISABLE_AFTER
