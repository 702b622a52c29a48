"""How many deliveries of a webhook may be in flight."""

import pytest
from webhooks.rules import window
from webhooks.rules.window import QUICK_SECONDS, WEBHOOK_LIMIT, WIDEST, Windows


def quickly(windows: Windows, receiver: str, times: int) -> None:
    for _ in range(times):
        windows.record_result(receiver, 0.01, succeeded=True)


def test_each_quick_success_allows_one_more_up_to_the_widest() -> None:
    windows = Windows()
    assert windows.size("r") == WEBHOOK_LIMIT
    quickly(windows, "r", 3)
    assert windows.size("r") == WEBHOOK_LIMIT + 3
    quickly(windows, "r", 100)
    assert windows.size("r") == WIDEST
    assert windows.size("other") == WEBHOOK_LIMIT


def test_a_failure_and_a_slow_answer_take_all_of_it_back() -> None:
    windows = Windows()
    for seconds, succeeded in ((0.01, False), (QUICK_SECONDS * 2, True)):
        quickly(windows, "r", 10)
        windows.record_result("r", seconds, succeeded=succeeded)
        assert windows.size("r") == WEBHOOK_LIMIT


def test_it_knows_no_more_receivers_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "MAX_KNOWN", 2)
    windows = Windows()
    for receiver in "abc":
        quickly(windows, receiver, 1)
    assert [windows.size(each) - WEBHOOK_LIMIT for each in "abc"] == [0, 1, 1]
