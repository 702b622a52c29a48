"""Times as people write them on a command line; all in UTC."""

import re
from datetime import UTC, datetime, timedelta

from tenantry.errors import Misconfigured

_DURATION = re.compile(r"(\d{1,5})([smhdw])")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_past(text: str) -> datetime:
    """`2h` is two hours ago; else a date, or a time with or without a zone."""
    duration = _parse_duration(text)
    return _parse_time(text) if duration is None else datetime.now(UTC) - duration


def parse_future(text: str) -> datetime:
    """`90d` is in ninety days."""
    duration = _parse_duration(text)
    now = datetime.now(UTC).replace(microsecond=0)
    return _parse_time(text) if duration is None else now + duration


def parse_query_time(text: str) -> str:
    """The same as a parameter of the API, which gives a bare date its own meaning."""
    return text if _DATE.fullmatch(text) else parse_past(text).isoformat()


def _parse_duration(text: str) -> timedelta | None:
    found = _DURATION.fullmatch(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Misconfigured(
            f"{text} is no time",
            "Write 2027-01-31, 2027-01-31T10:00:00Z, or a span such as 90s, 15m, 2h, 7d.",
        ) from None
