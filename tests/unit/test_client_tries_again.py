"""When the client sends a request again: what it waits, and what ends it."""

import json

import httpx
import pytest
from tenantry_client.errors import NoResponseError, RateLimitedError, UnexpectedResponseError
from tenantry_client.retry import RetryPolicy, Wait, with_retries

REQUEST = httpx.Request("POST", "http://tenantry.example/v1/admin/users")
DONE = httpx.Response(201)


def problem(status: int, code: str, retry_after: str | None = None) -> httpx.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    body = {"status": status, "code": code, "detail": "No.", "request_id": "r", "trace_id": "t"}
    return httpx.Response(status, headers=headers, content=json.dumps(body))


def run(answers: list[httpx.Response | Exception], policy: RetryPolicy) -> list[float]:
    """The pauses until there is an answer."""
    pauses = []
    left = iter(answers)
    steps = with_retries(REQUEST, policy)
    step = next(steps)
    try:
        while True:
            if isinstance(step, Wait):
                pauses.append(step.seconds)
                step = next(steps)
                continue
            assert step is REQUEST
            answer = next(left)
            step = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
    except StopIteration as done:
        answered = done.value
    assert answered is DONE
    assert next(left, None) is None
    return pauses


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (503, "service_unavailable")])
def test_retry_after_is_waited_for(status: int, code: str) -> None:
    assert run([problem(status, code, "7"), DONE], RetryPolicy()) == [7.0]


def test_without_it_the_waits_grow() -> None:
    away = [problem(503, "service_unavailable")] * 4
    pauses = run([*away, DONE], RetryPolicy())
    assert len(pauses) == 4
    for tried, pause in enumerate(pauses):
        assert 0.125 * 2**tried <= pause <= 0.25 * 2**tried


def test_a_lost_answer_and_one_still_in_flight_are_asked_for_again() -> None:
    lost = httpx.ReadTimeout("too slow")
    flying = problem(409, "idempotency_in_flight")
    assert len(run([lost, flying, problem(504, "upstream_timeout"), DONE], RetryPolicy())) == 3


def test_it_ends_after_so_many_tries() -> None:
    limited = [problem(429, "rate_limited", "1")] * 3
    with pytest.raises(RateLimitedError) as refused:
        run([*limited], RetryPolicy(tries=3))
    assert refused.value.retry_after == 1.0
    with pytest.raises(NoResponseError):
        run([httpx.ConnectError("refused")] * 2, RetryPolicy(tries=2))


def test_a_wait_that_is_too_long_is_not_begun() -> None:
    with pytest.raises(RateLimitedError):
        run([problem(429, "rate_limited", "60")], RetryPolicy(max_wait=30))


def test_what_stays_refused_is_not_tried_again() -> None:
    for status, code in ((409, "email_taken"), (500, "internal_error"), (422, "invalid")):
        with pytest.raises(Exception, match=code):
            run([problem(status, code)], RetryPolicy())


def test_an_answer_of_something_else_is_no_problem_of_the_product() -> None:
    with pytest.raises(UnexpectedResponseError):
        run([httpx.Response(502, content=b"<html>Bad gateway</html>")], RetryPolicy())
