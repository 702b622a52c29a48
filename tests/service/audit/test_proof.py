"""The proof: gapless and chained whoever writes, and no tampering goes unseen."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from audit import proof as proofs
from chassis.database import Pool
from contracts import audit as calls
from contracts.ids import new_id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.owner import Owner, heard


async def proof(audit: Owner, tenant: str) -> dict[str, object]:
    answer = await audit.call(calls.GET_PROOF, tenant)
    assert answer.status == 200
    calls.Proof.model_validate(answer.body)
    return answer.body


async def test_an_empty_log_is_valid(audit: Owner, tenant: str) -> None:
    assert await proof(audit, tenant) == {
        "valid": True,
        "length": 0,
        "floor": 0,
        "head": None,
        "first_broken": None,
        "next_after": None,
        "marks": [],
    }


async def test_concurrent_batches_leave_no_gap_and_one_chain(audit: Owner, receive) -> None:
    tenants = [new_id("ten") for _ in range(3)]
    month = "2033-07-01T00:00:00Z"  # that nobody has created yet
    events = [
        heard(tenants[number % 3], "user.created", new_id("usr"), time=month)
        for number in range(360)
    ]
    random.Random(1).shuffle(events)
    batches = [events[start : start + 12] for start in range(0, 360, 12)]
    await asyncio.gather(*(receive(*batch) for batch in batches))
    for tenant in tenants:
        rows = await audit.pool.fetch(
            "SELECT sequence, action_ordinal FROM events WHERE tenant_id = $1 ORDER BY 1", tenant
        )
        assert [tuple(row) for row in rows] == [(number, number) for number in range(1, 121)]
        found = await proof(audit, tenant)
        assert (found["valid"], found["length"]) == (True, 120)


_AT = "WHERE tenant_id = $1 AND sequence"


@pytest.mark.parametrize(
    ("tampering", "first_broken"),
    [
        ([f"UPDATE events SET action = 'user.updated' {_AT} = 4"], 4),
        ([f"UPDATE events SET changes = '{{}}' {_AT} = 4"], 4),
        ([f"UPDATE events SET created_at = created_at - interval '1 s' {_AT} = 4"], 4),
        ([f"UPDATE events SET digest = sha256(digest) {_AT} = 4"], 4),
        ([f"UPDATE personal SET ip_address = '::1' {_AT} = 4"], 4),
        ([f"UPDATE personal SET changes = '{{}}' {_AT} = 4"], 4),
        ([f"DELETE FROM events {_AT} = 1"], 1),
        ([f"DELETE FROM events {_AT} = 4"], 4),
        ([f"DELETE FROM events {_AT} >= 9"], 9),
        # Removed, while a later event was appended.
        (
            [f"DELETE FROM events {_AT} = 8", "UPDATE heads SET sequence = 8 WHERE tenant_id = $1"],
            8,
        ),
        # Removed, and the rest moved up.
        (
            [f"DELETE FROM events {_AT} = 4"]
            + [f"UPDATE events SET sequence = {n - 1} {_AT} = {n}" for n in range(5, 11)]
            + ["UPDATE heads SET sequence = 9 WHERE tenant_id = $1"],
            4,
        ),
        # Two exchanged.
        (
            [
                f"UPDATE events SET sequence = {to} {_AT} = {at}"
                for at, to in ((4, 0), (5, 4), (0, 5))
            ],
            4,
        ),
        (["UPDATE heads SET digest = sha256(digest) WHERE tenant_id = $1"], 10),
    ],
)
async def test_tampering_with_the_database_is_noticed(
    audit: Owner, database: Pool, tenant: str, receive, tampering: list[str], first_broken: int
) -> None:
    data = {"changes": {"email": {"from": "a", "to": "b"}, "status": {"from": 1, "to": 2}}}
    await receive(*(heard(tenant, "user.suspended", new_id("usr"), data) for _ in range(10)))
    assert (await proof(audit, tenant))["valid"] is True
    for statement in tampering:
        await database.execute(statement, tenant)
    found = await proof(audit, tenant)
    assert (found["valid"], found["first_broken"]) == (False, first_broken)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET action = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "UPDATE checkpoints SET sequence = 1",
        "DELETE FROM checkpoints",
        "UPDATE months.events_2026_01 SET action = 'x'",
        "DELETE FROM months.events_2026_01",
        "SELECT erase_events('ten_that_is_not_closed', 1)",
        "SELECT drop_partitions(now())",
        "CREATE TABLE shadow (id text)",
    ],
)
async def test_the_runtime_role_can_only_append(
    audit: Owner, tenant: str, receive, statement: str
) -> None:
    await receive(heard(tenant, "user.created", new_id("usr"), time="2026-01-15T10:00:00Z"))
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RaiseError)):
        await audit.pool.execute(statement)


async def test_a_long_log_is_proved_in_slices(
    audit: Owner, database: Pool, tenant: str, receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "SLICE_SECONDS", 0)
    monkeypatch.setattr(proofs, "STEP", 4)
    await receive(*(heard(tenant, "user.created", new_id("usr")) for _ in range(10)))
    assert [each["next_after"] for each in await slices(audit, tenant)] == [4, 8, None]
    await database.execute(f"UPDATE events SET action = 'user.updated' {_AT} = 7", tenant)
    found = await slices(audit, tenant)
    assert [each["valid"] for each in found] == [True, False]
    assert found[-1]["first_broken"] == 7
    answer = await audit.call(calls.GET_PROOF, tenant, query={"after": 11})
    assert answer.status == 422


async def slices(audit: Owner, tenant: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = 0
    while after is not None:
        found.append((await audit.call(calls.GET_PROOF, tenant, query={"after": after})).body)
        after = found[-1]["next_after"]
    return found


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
YEAR_1971, YEAR_2100 = datetime(1971, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001
CHANGES = st.dictionaries(TEXT, st.none() | st.floats(allow_nan=False) | TEXT, max_size=3)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(TEXT, CHANGES, TEXT, st.none() | TEXT, st.datetimes(YEAR_1971, YEAR_2100))
async def test_the_database_computes_the_chain_as_python_does(
    audit: Owner, receive, text: str, changes: dict[str, Any], agent: str, actor: str | None, time
) -> None:
    """The trigger would refuse a batch whose digests are others, the proof would not hold."""
    tenant = new_id("ten")
    shown = {"changes": {name: {"from": value, "to": None} for name, value in changes.items()}}
    moment = time.replace(tzinfo=UTC)
    for type_ in ("user.updated", "project.updated"):
        event = heard(
            tenant, type_, text, shown, time=moment, actor=("user", actor), user_agent=agent
        )
        await receive(event, heard(tenant, type_, text, shown, time=moment, request_id=text))
    assert (await proof(audit, tenant))["valid"] is True
