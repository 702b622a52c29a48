"""Turns and rests: who is sent next, and which receiver is left alone for a while."""

from hypothesis import given
from hypothesis import strategies as st
from webhooks.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker
from webhooks.fairness import AGAIN, BY_HAND, FIRST, Lane, Room, allot


def lane(tenant: str, webhook: str, *due: int, room: int = 8) -> Lane:
    return Lane(tenant, webhook, list(due), room, by_hand=room)


def by_tenant(taken: dict[tuple[str, str, int], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (tenant, _, _), count in taken.items():
        found[tenant] = found.get(tenant, 0) + count
    return found


def test_tenants_take_turns_however_many_webhooks_they_have() -> None:
    lanes = [lane("flood", f"w{n}", 0, 8, 0) for n in range(50)] + [lane("small", "w", 0, 8, 0)]
    taken = allot(lanes, Room(slots=16, again=16, tenant=100))
    assert by_tenant(taken) == {"flood": 8, "small": 8}


def test_webhooks_of_a_tenant_take_turns() -> None:
    lanes = [lane("t", "busy", 0, 8, 0), lane("t", "calm", 0, 1, 0)]
    assert allot(lanes, Room(4, 4, 100)) == {("t", "busy", FIRST): 3, ("t", "calm", FIRST): 1}


def test_a_tenant_has_no_more_than_its_share_under_way() -> None:
    lanes = [lane("t", f"w{n}", 0, 8, 0) for n in range(10)]
    taken = allot(lanes, Room(100, 100, 20, {"t": 15}))
    assert by_tenant(taken) == {"t": 5}


def test_retries_leave_slots_for_first_attempts() -> None:
    lanes = [lane("a", "storm", 0, 0, 8), lane("b", "new", 0, 4, 0)]
    taken = allot(lanes, Room(slots=12, again=2, tenant=100))
    assert taken == {("a", "storm", AGAIN): 2, ("b", "new", FIRST): 4}


def test_in_one_webhook_retries_and_first_attempts_alternate() -> None:
    taken = allot([lane("t", "w", 0, 8, 8)], Room(100, 100, 100))
    assert taken == {("t", "w", FIRST): 4, ("t", "w", AGAIN): 4}


def test_what_was_asked_by_hand_goes_first_and_past_the_breaker() -> None:
    held = Lane("t", "w", [1, 5, 5], room=0, by_hand=8)
    assert allot([held], Room(100, 100, 100)) == {("t", "w", BY_HAND): 1}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from("xyz"),
            st.tuples(*[st.integers(0, 8)] * 3),
            st.integers(-1, 8),
        ),
        unique_by=lambda each: each[:2],
    ),
    st.integers(0, 30),
    st.integers(-3, 10),
    st.integers(0, 10),
)
def test_no_limit_is_ever_passed(
    given_lanes: list[tuple[str, str, tuple[int, int, int], int]],
    slots: int,
    again: int,
    tenant: int,
) -> None:
    lanes = [lane(t, w, *due, room=room) for t, w, due, room in given_lanes]
    taken = allot(lanes, Room(slots, again, tenant))
    assert sum(taken.values()) <= slots
    assert all(count <= tenant for count in by_tenant(taken).values())
    assert sum(n for (_, _, kind), n in taken.items() if kind == AGAIN) <= max(again, 0)
    for t, w, due, room in given_lanes:
        mine = {kind: n for (a, b, kind), n in taken.items() if (a, b) == (t, w)}
        assert sum(mine.values()) <= max(room, 0)
        assert all(n <= due[kind] for kind, n in mine.items())


def fail(breaker: Breaker, times: int, now: float) -> None:
    for _ in range(times):
        breaker.ended("w", now, succeeded=False)


def test_a_breaker_opens_only_when_most_of_ten_fail() -> None:
    breaker = Breaker()
    fail(breaker, 9, 0)
    assert breaker.room("w", 1, 8) == 8
    fail(breaker, 1, 0)
    assert breaker.room("w", 1, 8) == 0
    assert breaker.room("other", 1, 8) == 8


def test_failures_of_long_ago_do_not_count() -> None:
    breaker = Breaker()
    fail(breaker, 9, 0)
    fail(breaker, 1, 1000)
    assert breaker.room("w", 1001, 8) == 8


def test_one_probe_at_a_time_decides() -> None:
    breaker = Breaker()
    fail(breaker, 10, 0)
    now = FIRST_PAUSE + 1
    assert breaker.room("w", now, 8) == 1
    breaker.started("w")
    assert breaker.room("w", now, 8) == 0
    breaker.ended("w", now, succeeded=False)
    assert breaker.room("w", now + FIRST_PAUSE + 1, 8) == 0
    assert breaker.room("w", now + 2 * FIRST_PAUSE + 1, 8) == 1
    breaker.started("w")
    breaker.ended("w", now + 100, succeeded=True)
    assert breaker.room("w", now + 100, 8) == 8


def test_a_rest_is_never_longer_than_five_minutes() -> None:
    breaker = Breaker()
    fail(breaker, 10, 0)
    now = 0.0
    for _ in range(20):
        now += LONGEST_PAUSE + 1
        breaker.started("w")
        fail(breaker, 1, now)
    assert breaker.room("w", now + LONGEST_PAUSE + 1, 8) == 1
