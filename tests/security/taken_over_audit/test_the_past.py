"""What stands in a trail stays, or its loss shows."""

import asyncpg
import pytest
from audit.subscribers import handle_events
from contracts.ids import new_id
from outbox.inbox import process_once
from security.taken_over_audit.thief import REFUSED, insert, proof, snapshot
from support.owner import Owner, heard
from tenantry.operations.audit_verification import verify_tenant

CHANGES = [
    "UPDATE events SET action = 'user.created' WHERE tenant_id = $1",
    "UPDATE events SET filed_at = filed_at WHERE tenant_id = $1",
    "DELETE FROM events WHERE tenant_id = $1",
    """MERGE INTO events e USING (SELECT $1::text AS t) s ON e.tenant_id = s.t
       WHEN MATCHED THEN DELETE""",
    """INSERT INTO events SELECT * FROM events WHERE tenant_id = $1
       ON CONFLICT (tenant_id, sequence, filed_at) DO UPDATE SET action = 'x'""",
    "UPDATE personal SET ip_address = '::1' WHERE tenant_id = $1",
    "DELETE FROM personal WHERE tenant_id = $1",
    "UPDATE heads SET sequence = 0, digest = NULL WHERE tenant_id = $1",
    "UPDATE heads SET sequence = 9 WHERE tenant_id = $1",
    "UPDATE heads SET digest = sha256(digest) WHERE tenant_id = $1",
    "UPDATE heads SET filed_at = '1970-01-01' WHERE tenant_id = $1",
    "UPDATE heads SET tenant_id = 'ten_other' WHERE tenant_id = $1",
    "DELETE FROM heads WHERE tenant_id = $1",
    "INSERT INTO marks (tenant_id, sequence, kind) VALUES ($1, 1, 'dropped')",
    "UPDATE marks SET sequence = 1 WHERE tenant_id = $1",
    "DELETE FROM marks WHERE tenant_id = $1",
    "INSERT INTO checkpoints (tenant_id, sequence, digest) VALUES ($1, 1, '')",
    "UPDATE checkpoints SET sequence = 1 WHERE tenant_id = $1",
    "DELETE FROM checkpoints WHERE tenant_id = $1",
    "SELECT erase_events($1, 1)",
    "SELECT erase_events($1, NULL)",
]


@pytest.mark.parametrize("statement", CHANGES)
async def test_the_past_of_a_trail_cannot_be_changed(
    audit: Owner, thief: asyncpg.Connection, trail: str, statement: str
) -> None:
    before = await snapshot(audit, trail)
    with pytest.raises(REFUSED):
        await thief.execute(statement, trail)
    assert await snapshot(audit, trail) == before
    assert (await proof(audit, trail))["valid"] is True


CLOSINGS = [
    "SELECT close_trail($1)",
    "UPDATE heads SET closed_at = now() WHERE tenant_id = $1",
    "UPDATE heads SET closed_at = '1999-01-01', sequence = 0 WHERE tenant_id = $1",
]


@pytest.mark.parametrize("closing", CLOSINGS)
async def test_a_better_past_cannot_replace_an_erased_one(
    audit: Owner, thief: asyncpg.Connection, trail: str, closing: str
) -> None:
    """Closed, erased, and inserted anew: the last step fails, and the first two show for ever."""
    head = (await proof(audit, trail))["head"]
    events = await thief.fetch("SELECT * FROM events WHERE tenant_id = $1 ORDER BY 2", trail)
    await thief.execute(closing, trail)
    found = await proof(audit, trail)
    assert (found["valid"], found["length"], found["first_broken"]) == (False, 10, 11)
    assert await thief.fetchval("SELECT erase_events($1, 3)", trail) == 3
    found = await proof(audit, trail)
    assert (found["valid"], found["first_broken"]) == (False, 1)
    while await thief.fetchval("SELECT erase_events($1, 100)", trail):
        pass
    for attempt in (
        lambda: insert(thief, *map(dict, events)),
        lambda: insert(thief, {**events[-1], "sequence": 11}),
        lambda: thief.execute("UPDATE heads SET closed_at = NULL WHERE tenant_id = $1", trail),
        lambda: thief.execute("UPDATE heads SET sequence = 0 WHERE tenant_id = $1", trail),
        lambda: thief.execute("DELETE FROM heads WHERE tenant_id = $1", trail),
    ):
        with pytest.raises(REFUSED):
            await attempt()
    await thief.execute(
        "INSERT INTO heads (tenant_id, sequence) VALUES ($1, 0) ON CONFLICT DO NOTHING", trail
    )
    await thief.execute("SELECT close_trail($1)", trail)
    found = await proof(audit, trail)
    assert (found["valid"], found["length"], found["head"]) == (False, 10, head)
    marks = [(mark["kind"], mark["sequence"], mark["digest"]) for mark in found["marks"]]
    assert sorted(marks) == [("closed", 10, head), ("erased", 10, head)]
    living = await verify_tenant(thief, trail, {trail})
    assert (living["valid"], len(living["marks"])) == (False, 2)
    deleted = await verify_tenant(thief, trail, set())
    assert (deleted["valid"], len(deleted["marks"])) == (True, 2)


async def test_only_those_are_erased_whose_deletion_stands_in_the_trail(
    audit: Owner, thief: asyncpg.Connection, trail: str
) -> None:
    user, other = new_id("usr"), new_id("usr")
    async with audit.pool.acquire() as conn:
        await process_once(
            conn, handle_events, [heard(trail, "user.created", each) for each in (user, other)]
        )
        await process_once(conn, handle_events, [heard(trail, "user.deleted", user)])
    erase = "DELETE FROM personal WHERE tenant_id = $1 AND about_user = ANY($2)"
    for users in ([other], [user, other]):
        if users == [user, other]:
            await thief.execute("INSERT INTO forgotten VALUES ($1, $2, now())", trail, other)
        with pytest.raises(REFUSED):
            await thief.execute(erase, trail, users)
    # To erase the other, the deletion must be told first: it stands in the trail for ever.
    rows = await thief.fetch("SELECT action FROM events WHERE resource_id = $1", user)
    assert [row["action"] for row in rows] == ["user.created", "user.deleted"]
