"""Which of the doctor's results explains which."""

from tenantry.checks.causes import find_causes
from tenantry.checks.result import CheckResult, failed, ok, warning


def fault(check: str, of: str) -> CheckResult:
    return failed(check, of, "broken", "Mend it.")


def clock(of: str, difference: str) -> CheckResult:
    return failed("clock", of, f"{difference} s from here", "Synchronise.")


def told(results: list[CheckResult]) -> list[tuple[str, str | None]]:
    return [(each.name, each.caused_by) for each in find_causes(results)]


def test_a_cause_comes_before_what_follows_from_it_however_far() -> None:
    results = [
        ok("configuration", "hash keys of audit", "strong"),
        fault("configuration", "operator key"),
        fault("request", "operator"),
        fault("health", "projects"),
        fault("connection", "database of projects"),
    ]
    cause = "connection of database of projects"
    assert told(results) == [
        (cause, None),
        ("request of operator", cause),
        ("health of projects", cause),
        ("configuration of operator key", None),
        ("configuration of hash keys of audit", None),
    ]


def test_a_warning_explains_no_failure_but_redis_explains_its_health() -> None:
    low = warning("disk", "the data folder", "500 MiB free", "Make room.")
    assert told([low, fault("connection", "NATS")]) == [
        ("connection of NATS", None),
        ("disk of the data folder", None),
    ]
    redis = warning("connection", "Redis", "refused", "Start it.")
    health = warning("health", "redis", "down", "It goes on.")
    assert told([health, redis]) == [
        ("connection of Redis", None),
        ("health of redis", "connection of Redis"),
    ]


def test_when_all_clocks_differ_alike_it_is_ours() -> None:
    alike = [clock("PostgreSQL", "+60.1"), clock("NATS", "+60.0"), clock("API", "+59.4")]
    assert told(alike)[0] == ("clock of this machine", None)
    assert {cause for _, cause in told(alike)[1:]} == {"clock of this machine"}
    for others in (
        [clock("PostgreSQL", "+60.1"), clock("NATS", "-60.0")],
        [clock("PostgreSQL", "+60.1"), ok("clock", "NATS", "+0.0 s from here")],
        [clock("API", "+60.1")],
    ):
        assert "clock of this machine" not in {name for name, _ in told(others)}
