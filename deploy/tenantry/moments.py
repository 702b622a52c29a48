"""Times as people write them on a command line; all in UTC."""

import re
from datetime import UTC, datetime, timedelta

from tenantry.failing import Misconfigured

_SPAN = re.compile(r"(\d{1,5})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def ago(text: str) -> datetime:
    """`2h` is two hours ago; else a date, or a time with or without a zone."""
    span = _span(text)
    return _time(text) if span is None else datetime.now(UTC) - span


def ahead(text: str) -> datetime:
    """`90d` is in ninety days."""
    span = _span(text)
    return _time(text) if span is None else datetime.now(UTC).replace(microsecond=0) + span


def _span(text: str) -> timedelta | None:
    found = _SPAN.fullmatch(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misconfigured(
            f"{text} is no time",
            "Write 2027-01-31, 2027-01-31T10:00:00Z, or a span such as 90s, 15m, 2h, 7d.",
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
