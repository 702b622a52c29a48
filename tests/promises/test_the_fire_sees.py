"""The judge of the fire itself: each way to break a promise is seen, and a kept one is not."""

from typing import Any

import pytest
from support.api import Api
from support.fire import verdict
from support.fire.hearing import Hearing
from support.fire.shown import Shown
from support.fire.verdict import Broken, Hook
from support.fire.writes import Attempt, Effect, Write

TENANT = "ten_1"
ACME = ("users", "usr_1")
HOOK = Hook(TENANT, "/in/all", "*", since=0.0)


def write(number: int, action: str, answer: bytes = b"{}", status: int = 200) -> Write:
    """A write of the user, sent at `number` and answered half a second later."""
    effect = Effect(((action, ACME[1]),), {ACME: f"w{number}"})
    api = Api(None, "", tenant=TENANT)  # type: ignore[arg-type]
    made = Write(number, api, "PATCH", "/", {}, 200, effect=lambda _: effect)
    made.actions, made.mark = (action,), f"w{number}"
    made.attempts.append(Attempt(f"w{number}.1", number, number + 0.5, status, answer))
    return made


def event(sequence: int, number: int, action: str, attempt: int = 1) -> dict[str, Any]:
    return {
        "id": f"evt_{sequence}",
        "sequence": sequence,
        "request_id": f"w{number}.{attempt}",
        "action": action,
        "resource_type": "user",
        "resource_id": ACME[1],
    }


def tenant(*trail: dict[str, Any], mark: str = "w2") -> dict[str, Shown]:
    proof = {"valid": True, "length": len(trail)}
    return {TENANT: Shown({ACME: mark}, list(trail), len(trail), proof)}


WRITES = [write(1, "user.created"), write(2, "user.updated")]
CREATED, UPDATED = event(1, 1, "user.created"), event(2, 2, "user.updated")


def judged(shown: dict[str, Shown]) -> list[Broken]:
    return [
        *verdict.rows_are_there(WRITES, shown),
        *verdict.one_event_each(WRITES, shown),
        *verdict.gapless_and_proven(shown),
        *verdict.in_order(WRITES, shown),
    ]


def test_what_was_kept_is_not_complained_of() -> None:
    assert judged(tenant(CREATED, UPDATED)) == []


@pytest.mark.parametrize(
    ("shown", "kind"),
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
def test_what_audit_has_wrong_is_seen(shown: dict[str, Shown], kind: str) -> None:
    assert kind in {each.kind for each in judged(shown)}


def test_a_chain_that_is_not_proven_is_seen() -> None:
    shown = tenant(CREATED, UPDATED)
    shown[TENANT].proof["valid"] = False
    assert [each.kind for each in judged(shown)] == ["not proven"]


def test_a_write_in_doubt_that_is_there_in_part_is_seen() -> None:
    doubtful = [write(2, "user.updated", status=504)]
    assert verdict.wholly_there_or_absent(doubtful, tenant(CREATED, UPDATED)) == ({2}, [])
    assert verdict.wholly_there_or_absent(doubtful, tenant(CREATED, mark="w1")) == (set(), [])
    for half in (tenant(CREATED), tenant(CREATED, UPDATED, mark="w1")):
        _, (broken,) = verdict.wholly_there_or_absent(doubtful, half)
        assert broken.kind == "in part"


def test_a_second_answer_that_differs_or_is_given_anew_is_seen() -> None:
    kept, changed, anew = (write(number, "user.updated") for number in (1, 2, 3))
    first = kept.attempts[0]
    kept.attempts.append(Attempt("w1.2", 2, 3, 200, first.raw, replayed=True))
    changed.attempts.append(Attempt("w2.2", 2, 3, 200, b'{"other": 1}', replayed=True))
    anew.attempts.append(Attempt("w3.2", 2, 3, 200, first.raw))
    assert not list(verdict.same_answers([kept], set()))
    assert [each.writes for each in verdict.same_answers([changed], set())] == [(changed,)]
    assert [each.text for each in verdict.same_answers([anew], set())] == ["was done anew"]


def test_what_a_webhook_must_hear_is_what_began_after_it_was_made() -> None:
    shown = tenant(CREATED, UPDATED)
    assert set(verdict.due([HOOK], WRITES, shown)) == {("/in/all", "evt_1"), ("/in/all", "evt_2")}
    late = Hook(TENANT, "/in/all", "user.*", since=1.2)
    assert set(verdict.due([late], WRITES, shown)) == {("/in/all", "evt_2")}
    other = Hook(TENANT, "/in/all", "project.*", since=0.0)
    assert not verdict.due([other], WRITES, shown)


def test_a_delivery_of_what_audit_does_not_know_is_seen() -> None:
    hearing = Hearing()
    hearing.heard["/in/all"].update(["evt_1", "evt_9"])
    (broken,) = verdict.made_up(tenant(CREATED, UPDATED), hearing)
    assert broken.text == "evt_9 at /in/all"
