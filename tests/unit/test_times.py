"""Times are RFC 3339: what is kept, in UTC, and what is refused."""

import pytest
from contracts.fields import Instant
from pydantic import TypeAdapter, ValidationError

INSTANT: TypeAdapter[object] = TypeAdapter(Instant)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-01-15T10:00:00Z", "2026-01-15T10:00:00Z"),
        ("2026-01-15t10:00:00z", "2026-01-15T10:00:00Z"),
        ("2026-01-15 10:00:00+05:30", "2026-01-15T04:30:00Z"),
        ("2026-01-15T10:00:00-00:00", "2026-01-15T10:00:00Z"),
        ("2026-01-15T10:00:00.1234567890123456Z", "2026-01-15T10:00:00.123456Z"),
        ("2026-06-30T23:59:60Z", "2026-07-01T00:00:00Z"),
        ("2026-07-01T01:59:60.5+02:00", "2026-07-01T00:00:00.500000Z"),
    ],
)
def test_a_time_is_kept_in_utc(given: str, kept: str) -> None:
    assert INSTANT.dump_json(INSTANT.validate_python(given)).decode() == f'"{kept}"'


@pytest.mark.parametrize(
    "given",
    [
        "2026-01-15", "2026-01-15T10:00:00", "2026-01-15T10:00Z", "2026-01-15T10:00:00.Z",
        "2026-01-15T10:00:00+05:60", "2026-01-15T10:00:00+24:00", "2026-01-15T24:00:00Z",
        "2026-01-15T10:00:60Z", "2026-01-15T23:59:61Z", "2026-02-29T10:00:00Z",
        "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:60Z", "\u0662026-01-15T10:00:00Z",
        "2026-01-15T10:00:00." + "1" * 100 + "Z", 1768471200,
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        INSTANT.validate_python(given)
