"""The chain as a third party recomputes it, from nothing but what its docstring says."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from audit import chain
from audit.chain import StoredEvent
from audit.lateness import LATENESS_CLASSES, lateness
from audit.verify import ChainVerifier
from hypothesis import given
from hypothesis import strategies as st

SALT = bytes(range(16))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def event(sequence: int = 1, changes: str = "{}", personal: str = "{}") -> StoredEvent:
    return StoredEvent(
        tenant_id="ten_1",
        sequence=sequence,
        id=f"evt_{sequence}",
        action="user.updated",
        resource_type="user",
        resource_id="usr_1",
        actor_type="system",
        actor_id=None,
        request_id="req_1",
        traceparent="00-1-1-01",
        reason=None,
        changes=changes,
        created_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
        commitment=chain.commitment(SALT, personal, "203.0.113.7", None),
        digest=b"",
        salt=SALT,
        ip_address="203.0.113.7",
        user_agent=None,
        personal_changes=personal,
        subject_salt=None,
        subject_changes=None,
    )


def chained(length: int) -> list[StoredEvent]:
    events, previous = [], None
    for sequence in range(1, length + 1):
        events.append(event(sequence))
        previous = events[-1].digest = chain.digest(events[-1], previous)
    return events


def json_bytes(value: Any) -> bytes:
    """Canonical JSON by the standard library."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_canonical_json_is_what_the_standard_library_writes(value: dict[str, Any]) -> None:
    assert chain.canonical_json(value) == json_bytes(value)


def test_a_digest_is_recomputed_from_its_description() -> None:
    stored = event(
        7, '{"status":{"from":"active","to":"suspended"}}', '{"name":{"from":"A","to":"é"}}'
    )
    part = {
        "changes": {"name": {"from": "A", "to": "é"}},
        "ip_address": "203.0.113.7",
        "user_agent": None,
    }
    commitment = hashlib.sha256(SALT + json_bytes(part)).hexdigest()
    entry = {
        "action": "user.updated",
        "actor_id": None,
        "actor_type": "system",
        "changes": {"status": {"from": "active", "to": "suspended"}},
        "created_at": "2026-01-15T10:00:00Z",
        "id": "evt_7",
        "personal": commitment,
        "previous": "ab" * 32,
        "reason": None,
        "request_id": "req_1",
        "resource_id": "usr_1",
        "resource_type": "user",
        "sequence": 7,
        "tenant_id": "ten_1",
        "traceparent": "00-1-1-01",
    }
    recomputed = hashlib.sha256(json_bytes(entry)).digest()
    assert chain.digest(stored, bytes.fromhex("ab" * 32)) == recomputed


@pytest.mark.parametrize(
    ("resource_type", "plain", "personal"),
    [
        ("user", {"status"}, {"email", "name", "metadata", "anything_new"}),
        ("member", {"status"}, {"email", "name", "metadata", "anything_new"}),
        ("project", {"status", "email", "name", "metadata", "anything_new"}, set()),
    ],
)
def test_what_is_personal_depends_on_the_resource(
    resource_type: str, plain: set[str], personal: set[str]
) -> None:
    names = ("status", "email", "name", "metadata", "anything_new")
    parts = chain.split_changes(resource_type, {name: {"from": 1, "to": 2} for name in names})
    assert [set(json.loads(part)) for part in parts] == [plain, personal]
    assert set(json.loads(chain.join_changes(*parts))) == set(names)
    assert chain.join_changes(parts[0], "{}") == parts[0]


def test_secrets_are_known_by_their_names() -> None:
    kept = {"access_token_ttl": 1, "name": 2, "signing_key_grace_period": 3, "hashtag": 4}
    dropped = {"token": 1, "refreshToken": 2, "secret_hash": 3, "API-Key": 4, "Password": 5}
    assert chain.remove_secrets({**kept, **dropped, "deep": [[dropped]]}) == {
        **kept,
        "deep": [[{}]],
    }


def test_a_whole_chain_is_valid_and_stays_so_when_personal_data_is_erased() -> None:
    events = chained(5)
    events[2] = replace(events[2], salt=None, ip_address=None, personal_changes=None)
    verifier = ChainVerifier()
    assert verifier.verify(events)
    assert verifier.verify_end(5, events[-1].digest)


def change(number: int, **columns: Any) -> Callable[[list[StoredEvent]], None]:
    def tamper(events: list[StoredEvent]) -> None:
        events[number] = replace(events[number], **columns)

    return tamper


def swap_sequences(events: list[StoredEvent]) -> None:
    change(2, sequence=4)(events)
    change(3, sequence=3)(events)


@pytest.mark.parametrize(
    ("tamper", "first_broken"),
    [
        (change(2, action="user.created"), 3),
        (change(2, ip_address="198.51.100.1"), 3),
        (change(2, commitment=None), 3),
        # What is said to be erased is not shown.
        (change(2, salt=None), 3),
        (change(2, salt=None, ip_address=None, personal_changes='{"name":1}'), 3),
        (change(2, subject_salt=SALT, subject_changes='{"name":1}'), 3),
        (
            change(
                2,
                salt=None,
                ip_address=None,
                personal_changes=chain.bind_subject(SALT, '{"name":1}'),
                subject_salt=SALT,
                subject_changes='{"name":1}',
            ),
            3,
        ),
        (lambda events: events.pop(2), 3),
        (lambda events: events.pop(0), 1),
        (lambda events: events.pop(), 5),
        (lambda events: events.insert(2, events.pop(3)), 3),
        (swap_sequences, 3),
    ],
)
def test_a_change_a_removal_and_a_reordering_break_it(tamper: Any, first_broken: int) -> None:
    events = chained(5)
    head = events[-1].digest
    tamper(events)
    verifier = ChainVerifier()
    assert not (verifier.verify(events) and verifier.verify_end(5, head))
    assert verifier.first_broken == first_broken


@given(st.timedeltas(timedelta(0), timedelta(days=200_000)))
def test_every_delay_has_a_class(delay: timedelta) -> None:
    created_at = datetime(1, 1, 1, tzinfo=UTC)
    number = lateness(created_at, created_at + delay)
    assert (number == 0) == (delay == timedelta(0))
    if number:
        assert delay < LATENESS_CLASSES[number - 1]
        assert number == 1 or delay >= LATENESS_CLASSES[number - 2]
