"""When failed attempts are repeated, and when a webhook has failed for too long."""

from datetime import UTC, datetime, timedelta

import pytest
from webhooks.rules.retry_policy import DELAYS, has_failed_too_long, next_attempt_at

NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)


def test_the_delays_are_those_of_the_contract() -> None:
    hours = [5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert [delay.total_seconds() / 3600 for delay in DELAYS] == pytest.approx(hours)


@pytest.mark.parametrize("failures", range(1, 10))
@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.9), (0.5, 1.0), (1.0, 1.1)])
def test_each_delay_has_a_tenth_of_jitter(failures: int, chance: float, factor: float) -> None:
    at = next_attempt_at(failures, NOW, chance=chance)
    assert at is not None
    assert (at - NOW) / DELAYS[failures - 1] == pytest.approx(factor)


def test_no_attempt_follows_the_tenth() -> None:
    assert next_attempt_at(10, NOW) is None
    assert next_attempt_at(10, NOW, "5") is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("60", 60),
        ("0", 5),
        ("1", 5),
        (" 90 ", 90),
        ("86400", 86400),
        ("86401", 86400),
        ("99999999999999999999999999", 86400),
        ("Thu, 15 Jan 2026 10:02:00 GMT", 120),
        ("Thu, 15 Jan 2026 10:02:00 -0000", 120),
        ("Thu, 15 Jan 2026 09:00:00 GMT", 5),
        ("Thu, 15 Jan 2099 10:00:00 GMT", 86400),
        ("Thu, 99 Jan 2026 10:00:00 GMT", 5),
        ("soon", 5),
        ("-5", 5),
        ("1.5", 5),
        ("", 5),
        ("٣٠", 5),
        (None, 5),
    ],
)
def test_retry_after_makes_the_wait_longer(header: str | None, seconds: int) -> None:
    assert next_attempt_at(1, NOW, header, chance=0.5) == NOW + timedelta(seconds=seconds)


def test_retry_after_does_not_make_the_wait_shorter() -> None:
    assert next_attempt_at(9, NOW, "1", chance=0.5) == NOW + timedelta(hours=24)


def test_a_webhook_has_failed_too_long_after_five_days() -> None:
    assert not has_failed_too_long(None, NOW)
    assert not has_failed_too_long(NOW - timedelta(days=4, hours=23), NOW)
    assert has_failed_too_long(NOW - timedelta(days=5), NOW)
