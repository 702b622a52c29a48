"""Which deliveries are sent next: tenants, webhooks and kinds take turns."""

from hypothesis import given
from hypothesis import strategies as st
from webhooks.rules.fairness import (
    FIRST,
    MANUAL,
    RETRY,
    Capacity,
    Shares,
    WebhookQueue,
    share_capacity,
)


def queue(tenant: str, webhook: str, *ready: int, capacity: int = 8) -> WebhookQueue:
    return WebhookQueue(tenant, webhook, list(ready), capacity, manual_capacity=capacity)


def by_tenant(shares: Shares) -> dict[str, int]:
    found: dict[str, int] = {}
    for (tenant, _, _), count in shares.items():
        found[tenant] = found.get(tenant, 0) + count
    return found


def test_tenants_take_turns_however_many_webhooks_they_have() -> None:
    queues = [queue("large", f"w{n}", 0, 8, 0) for n in range(50)] + [queue("small", "w", 0, 8, 0)]
    shares = share_capacity(queues, Capacity(total=16, retries=16, per_tenant=100))
    assert by_tenant(shares) == {"large": 8, "small": 8}


def test_webhooks_of_a_tenant_take_turns() -> None:
    queues = [queue("t", "busy", 0, 8, 0), queue("t", "calm", 0, 1, 0)]
    shares = share_capacity(queues, Capacity(4, 4, 100))
    assert shares == {("t", "busy", FIRST): 3, ("t", "calm", FIRST): 1}


def test_a_tenant_has_no_more_in_flight_than_its_share() -> None:
    queues = [queue("t", f"w{n}", 0, 8, 0) for n in range(10)]
    shares = share_capacity(queues, Capacity(100, 100, 20, {"t": 15}))
    assert by_tenant(shares) == {"t": 5}


def test_retries_leave_capacity_for_first_attempts() -> None:
    queues = [queue("a", "failing", 0, 0, 8), queue("b", "new", 0, 4, 0)]
    shares = share_capacity(queues, Capacity(total=12, retries=2, per_tenant=100))
    assert shares == {("a", "failing", RETRY): 2, ("b", "new", FIRST): 4}


def test_retries_and_first_attempts_of_one_webhook_alternate() -> None:
    shares = share_capacity([queue("t", "w", 0, 8, 8)], Capacity(100, 100, 100))
    assert shares == {("t", "w", FIRST): 4, ("t", "w", RETRY): 4}


def test_a_manual_delivery_goes_first_and_past_the_circuit_breaker() -> None:
    held_back = WebhookQueue("t", "w", [1, 5, 5], capacity=0, manual_capacity=8)
    assert share_capacity([held_back], Capacity(100, 100, 100)) == {("t", "w", MANUAL): 1}


def test_what_is_reserved_is_for_webhooks_with_few_in_flight() -> None:
    """A receiver that answers quickly may have more, as long as others have what they may have."""
    quick = WebhookQueue("t", "quick", [0, 32, 0], capacity=32, beyond=24)
    other = queue("t", "other", 0, 8, 0)
    reserved = Capacity(total=100, retries=100, per_tenant=20, reserved_of_tenant=6)
    assert share_capacity([quick, other], reserved) == {
        ("t", "quick", FIRST): 8,
        ("t", "other", FIRST): 8,
    }
    quick = WebhookQueue("t", "quick", [0, 32, 0], capacity=32, beyond=24)
    assert share_capacity([quick], reserved) == {("t", "quick", FIRST): 14}
    quick = WebhookQueue("t", "quick", [0, 32, 0], capacity=32, beyond=24)
    in_all = Capacity(total=100, retries=100, per_tenant=100, reserved=80)
    assert share_capacity([quick], in_all) == {("t", "quick", FIRST): 20}


def test_a_tenant_with_more_than_usual_in_flight_leaves_others_what_is_reserved() -> None:
    def shares(reserved: int) -> dict[str, int]:
        queues = [queue("t", f"w{n}", 0, 8, 0) for n in range(10)]
        limits = Capacity(100, 100, per_tenant=60, usual_of_tenant=20, reserved=reserved)
        return by_tenant(share_capacity(queues, limits))

    assert shares(reserved=0) == {"t": 60}
    assert shares(reserved=70) == {"t": 30}
    assert shares(reserved=100) == {"t": 20}


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
def test_no_limit_is_ever_exceeded(
    given_queues: list[tuple[str, str, tuple[int, int, int], int]],
    total: int,
    retries: int,
    per_tenant: int,
) -> None:
    queues = [queue(t, w, *ready, capacity=capacity) for t, w, ready, capacity in given_queues]
    shares = share_capacity(queues, Capacity(total, retries, per_tenant))
    assert sum(shares.values()) <= total
    assert all(count <= per_tenant for count in by_tenant(shares).values())
    assert sum(n for (_, _, kind), n in shares.items() if kind == RETRY) <= max(retries, 0)
    for t, w, ready, capacity in given_queues:
        mine = {kind: n for (a, b, kind), n in shares.items() if (a, b) == (t, w)}
        assert sum(mine.values()) <= max(capacity, 0)
        assert all(n <= ready[kind] for kind, n in mine.items())
