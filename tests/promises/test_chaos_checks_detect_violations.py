"""The checks of the chaos runs: each way to break a promise is detected, and a kept one is not."""

from typing import Any

import pytest
from chaos import checks
from chaos.checks import Violation, Webhook
from chaos.snapshot import Deliveries, Snapshot
from chaos.writes import NEW, Attempt, Change, Write
from support.api import Api

TENANT = "ten_1"
USER = ("users", "usr_1")
REPLAYED = {"Idempotent-Replayed": "true"}
WEBHOOK = Webhook(TENANT, "/in/all", "*", since=0.0)


def write(number: int, action: str, answer: bytes = b"{}", status: int = 200) -> Write:
    """A write of the user, sent at `number` and answered half a second later."""
    change = Change(((action, USER[1]),), {USER: f"w{number}"})
    api = Api(None, "", tenant=TENANT)  # type: ignore[arg-type]
    made = Write(number, api, "PATCH", "/", {}, 200, change=change)
    made.attempts.append(Attempt(f"w{number}.1", number, number + 0.5, status, answer))
    return made


def event(sequence: int, number: int, action: str, attempt: int = 1) -> dict[str, Any]:
    return {
        "id": f"evt_{sequence}",
        "sequence": sequence,
        "request_id": f"w{number}.{attempt}",
        "action": action,
        "resource_type": "user",
        "resource_id": USER[1],
    }


def tenant(*trail: dict[str, Any], mark: str = "w2") -> dict[str, Snapshot]:
    proof = {"valid": True, "length": len(trail)}
    return {TENANT: Snapshot({USER: mark}, list(trail), len(trail), proof)}


WRITES = [write(1, "user.created"), write(2, "user.updated")]
CREATED, UPDATED = event(1, 1, "user.created"), event(2, 2, "user.updated")


def violations(snapshots: dict[str, Snapshot]) -> list[Violation]:
    return [
        *checks.check_rows(WRITES, snapshots),
        *checks.check_events(WRITES, snapshots),
        *checks.check_trail(snapshots),
        *checks.check_order(WRITES, snapshots),
    ]


def test_a_kept_promise_is_no_violation() -> None:
    assert violations(tenant(CREATED, UPDATED)) == []


@pytest.mark.parametrize(
    ("snapshots", "kind"),
    [
        (tenant(CREATED, UPDATED, mark="w1"), "lost"),
        (tenant(CREATED), "lost in audit"),
        (tenant(CREATED, UPDATED, event(3, 2, "user.updated")), "duplicated in audit"),
        (tenant(CREATED, UPDATED, event(3, 2, "user.updated", 2)), "duplicated in audit"),
        (tenant(CREATED, UPDATED, event(3, 2, "user.deleted")), "not asked for"),
        (tenant(event(1, 2, "user.updated"), event(2, 1, "user.created")), "out of order"),
        (tenant(CREATED, event(3, 2, "user.updated")), "gap in audit"),
    ],
)
def test_a_wrong_trail_or_row_is_detected(snapshots: dict[str, Snapshot], kind: str) -> None:
    assert kind in {each.kind for each in violations(snapshots)}


def test_a_row_and_an_event_that_nobody_asked_for_are_detected() -> None:
    snapshots = tenant(CREATED, UPDATED, event(3, 2, "user.updated") | {"request_id": "req_1"})
    snapshots[TENANT].rows["users", "usr_2"] = "w3"
    assert [each.kind for each in violations(snapshots)] == ["not asked for"] * 2


def test_a_chain_or_a_total_that_is_not_proven_is_detected() -> None:
    snapshots = tenant(CREATED, UPDATED)
    snapshots[TENANT].proof["valid"] = False
    assert [each.kind for each in violations(snapshots)] == ["not proven"]
    total = Snapshot({USER: "w2"}, [CREATED, UPDATED], 3, {"valid": True, "length": 2})
    assert [each.kind for each in violations({TENANT: total})] == ["not proven"]


def test_a_write_in_doubt_that_is_done_in_part_is_detected() -> None:
    doubtful = [write(2, "user.updated", status=504)]
    assert checks.check_unanswered(doubtful, tenant(CREATED, UPDATED)) == ({2}, [])
    assert checks.check_unanswered(doubtful, tenant(CREATED, mark="w1")) == (set(), [])
    for half in (tenant(CREATED), tenant(CREATED, UPDATED, mark="w1")):
        _, (violation,) = checks.check_unanswered(doubtful, half)
        assert violation.kind == "in part"


def test_a_deletion_in_doubt_that_is_done_in_part_is_detected() -> None:
    doubtful = [write(3, "user.deleted", status=504)]
    doubtful[0].change = Change((("user.deleted", USER[1]),), {USER: None})
    deleted = event(3, 3, "user.deleted")
    gone = {TENANT: Snapshot({}, [CREATED, UPDATED, deleted], 3, {"valid": True, "length": 3})}
    assert checks.check_unanswered(doubtful, gone) == ({3}, [])
    assert checks.check_unanswered(doubtful, tenant(CREATED, UPDATED)) == (set(), [])
    gone[TENANT].trail.pop()
    for half in (gone, tenant(CREATED, UPDATED, deleted)):
        _, (violation,) = checks.check_unanswered(doubtful, half)
        assert violation.kind == "in part"


def test_the_identifier_that_an_answer_gives_is_looked_for() -> None:
    created = write(1, "user.created", b'{"id": "usr_1"}')
    created.change = Change((("user.created", NEW),), {("users", NEW): "w1"})
    assert not list(checks.check_rows([created], tenant(CREATED, mark="w1")))
    assert not list(checks.check_events([created], tenant(CREATED, mark="w1")))
    (violation,) = checks.check_rows([created], tenant(CREATED, mark="w2"))
    assert violation.kind == "lost"


def test_a_second_answer_that_differs_or_is_given_anew_is_detected() -> None:
    kept, changed, anew = (write(number, "user.updated") for number in (1, 2, 3))
    first = kept.attempts[0]
    kept.attempts.append(Attempt("w1.2", 2, 3, 200, first.raw, REPLAYED))
    changed.attempts.append(Attempt("w2.2", 2, 3, 200, b'{"other": 1}', REPLAYED))
    anew.attempts.append(Attempt("w3.2", 2, 3, 200, first.raw))
    assert not list(checks.check_answers([kept], set()))
    assert [each.writes for each in checks.check_answers([changed], set())] == [(changed,)]
    kept.attempts.append(Attempt("w1.3", 3, 4, 200, first.raw, REPLAYED | {"ETag": '"2"'}))
    assert [each.text for each in checks.check_answers([kept], set())] == ["its answers differ"]
    assert [each.text for each in checks.check_answers([anew], set())] == ["was done anew"]
    assert [each.text for each in checks.check_answers([write(4, "x")], {4})] == ["was done anew"]


def test_an_answer_is_erased_only_with_its_user() -> None:
    made = write(1, "user.created", answer=b'{"id": "usr_1"}')
    erased = b"The answer to this request was erased with a person."
    made.attempts.append(Attempt("w1.2", 4, 5, 404, erased))
    gone = write(2, "user.deleted")
    assert not list(checks.check_answers([made, gone], set()))
    (violation,) = checks.check_answers([made], set())
    assert violation.text == "was erased, but its user is there"


def test_an_answer_of_another_status_is_detected() -> None:
    refused, failed = write(1, "user.updated", status=409), write(2, "user.updated", status=500)
    assert [each.text for each in checks.check_answers([refused], set())] == ["not 200"]
    assert [each.text for each in checks.check_answers([failed], set())] == ["500"]


def test_a_webhook_must_get_what_began_after_it_was_made() -> None:
    snapshots = tenant(CREATED, UPDATED)
    both = {("/in/all", "evt_1"), ("/in/all", "evt_2")}
    assert set(checks.expected_deliveries([WEBHOOK], WRITES, snapshots)) == both
    late = Webhook(TENANT, "/in/all", "user.*", since=1.2)
    assert set(checks.expected_deliveries([late], WRITES, snapshots)) == {("/in/all", "evt_2")}
    other = Webhook(TENANT, "/in/all", "project.*", since=0.0)
    assert not checks.expected_deliveries([other], WRITES, snapshots)


def test_a_delivery_of_what_audit_does_not_know_is_detected() -> None:
    deliveries = Deliveries()
    for event_id in ("evt_1", "evt_9"):
        assert deliveries.add("/in/all", event_id, f'{{"id": "{event_id}"}}'.encode()) == 204
    (violation,) = checks.check_deliveries(deliveries, tenant(CREATED, UPDATED))
    assert violation.text == "evt_9 at /in/all"


def test_a_delivery_with_the_body_of_another_event_is_detected() -> None:
    deliveries = Deliveries()
    deliveries.add("/in/all", "evt_1", b'{"id": "evt_2"}')
    (violation,) = checks.check_deliveries(deliveries, tenant(CREATED, UPDATED))
    assert violation.kind == "wrong delivery"
