"""The proof: gapless and chained whoever writes, and no tampering goes unseen."""

import asyncio
import random

import asyncpg
import pytest
from chassis.database import Pool
from contracts import audit as calls
from contracts.ids import new_id
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
        "head": None,
        "first_broken": None,
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


async def test_a_proof_that_would_take_too_long_says_so(audit: Owner, tenant: str, receive) -> None:
    await receive(heard(tenant, "user.created", new_id("usr")))
    answer = await audit.call(calls.GET_PROOF, tenant, deadline=0.0)
    assert (answer.status, answer.body["code"]) == (503, "service_unavailable")
    assert "tenantry audit verify" in answer.body["detail"]
