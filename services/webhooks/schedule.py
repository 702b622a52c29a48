"""When an attempt is made again, and when a webhook is given up. Pure: the clock is a parameter."""

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
LONGEST_WAIT = timedelta(hours=24)
GIVE_UP_AFTER = timedelta(days=5)


def next_attempt(
    failed: int, now: datetime, retry_after: str | None = None, chance: float | None = None
) -> datetime | None:
    """When to try again after `failed` failures in a row, or None when that was the last try.

    `retry_after` is the receiver's header (RFC 9110 section 10.2.3): a wait of at least so long,
    at most 24 hours. It never shortens the schedule. `chance` from 0 to 1 decides the jitter.
    """
    if failed > len(DELAYS):
        return None
    chance = random.random() if chance is None else chance  # noqa: S311 - no secret
    delay = DELAYS[failed - 1] * (1 - JITTER + 2 * JITTER * chance)
    return now + max(delay, _asked(retry_after, now))


def _asked(retry_after: str | None, now: datetime) -> timedelta:
    """What the receiver asks for; nothing when its header is not one."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return timedelta(0)
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(timedelta(0), min(until - now, LONGEST_WAIT))


def is_given_up(failing_since: datetime | None, now: datetime) -> bool:
    """Whether nothing but failures for five days; re-enabling begins anew."""
    return failing_since is not None and now - failing_since >= GIVE_UP_AFTER
