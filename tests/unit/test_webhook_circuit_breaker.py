"""The circuit breaker: a receiver that mostly fails gets one probe at a time."""

from webhooks.rules.circuit_breaker import FIRST_PAUSE, MAX_PAUSE, CircuitBreaker


def fail(breaker: CircuitBreaker, times: int, now: float) -> None:
    for _ in range(times):
        breaker.record_result("w", now, succeeded=False)


def test_it_opens_only_when_most_of_ten_attempts_fail() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 9, 0)
    assert breaker.capacity("w", 1, 8) == 8
    fail(breaker, 1, 0)
    assert breaker.capacity("w", 1, 8) == 0
    assert breaker.capacity("other", 1, 8) == 8


def test_old_failures_do_not_count() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 9, 0)
    fail(breaker, 1, 1000)
    assert breaker.capacity("w", 1001, 8) == 8


def test_one_probe_at_a_time_decides() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 10, 0)
    now = FIRST_PAUSE + 1
    assert breaker.capacity("w", now, 8) == 1
    breaker.record_start("w")
    assert breaker.capacity("w", now, 8) == 0
    breaker.record_result("w", now, succeeded=False)
    assert breaker.capacity("w", now + FIRST_PAUSE + 1, 8) == 0
    assert breaker.capacity("w", now + 2 * FIRST_PAUSE + 1, 8) == 1
    breaker.record_start("w")
    breaker.record_result("w", now + 100, succeeded=True)
    assert breaker.capacity("w", now + 100, 8) == 8


def test_a_pause_is_never_longer_than_five_minutes() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 10, 0)
    now = 0.0
    for _ in range(20):
        now += MAX_PAUSE + 1
        breaker.record_start("w")
        fail(breaker, 1, now)
    assert breaker.capacity("w", now + MAX_PAUSE + 1, 8) == 1
