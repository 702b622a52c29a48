"""When attempts are repeated and webhooks given up."""

from datetime import UTC, datetime, timedelta

import pytest
from webhooks.schedule import DELAYS, is_given_up, next_attempt

NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)


def test_the_delays_are_those_of_the_contract() -> None:
    hours = [5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert [delay.total_seconds() / 3600 for delay in DELAYS] == pytest.approx(hours)


@pytest.mark.parametrize("failed", range(1, 10))
@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.9), (0.5, 1.0), (1.0, 1.1)])
def test_each_delay_has_a_tenth_of_jitter(failed: int, chance: float, factor: float) -> None:
    at = next_attempt(failed, NOW, chance=chance)
    assert at is not None
    assert (at - NOW) / DELAYS[failed - 1] == pytest.approx(factor)


def test_nothing_follows_the_last() -> None:
    assert next_attempt(10, NOW) is None
    assert next_attempt(10, NOW, "5") is None


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
def test_the_receiver_may_ask_for_a_longer_wait(header: str | None, seconds: int) -> None:
    assert next_attempt(1, NOW, header, chance=0.5) == NOW + timedelta(seconds=seconds)


def test_a_receiver_cannot_shorten_the_schedule() -> None:
    assert next_attempt(9, NOW, "1", chance=0.5) == NOW + timedelta(hours=24)


def test_five_days_of_failures_are_enough() -> None:
    assert not is_given_up(None, NOW)
    assert not is_given_up(NOW - timedelta(days=4, hours=23), NOW)
    assert is_given_up(NOW - timedelta(days=5), NOW)
