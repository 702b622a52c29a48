"""The tree goes on where events are gone, and trails of before get theirs."""

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from audit import merkle, note, partitions
from audit.checkpoints import Checkpoints
from chassis.database import Pool
from contracts import audit as calls
from contracts.ids import new_id
from support.long_trail import extend_trail
from support.owner import Owner, audit_settings, heard
from tenantry.operations.audit_retention import set_retention
from tenantry.operations.audit_verification import verify_file
from tenantry.operations.checkpoint_files import read_evidence
from tenantry.servers import Servers

Sign = Callable[[], Awaitable[None]]


@pytest.fixture
def sign(audit: Owner, servers: Servers) -> Sign:
    return Checkpoints(audit.pool, audit_settings(servers), lambda: None).sign_pending


@pytest.fixture
async def drop(audit: Owner, database: Pool, servers: Servers, sign: Sign) -> Any:
    """Drops a month and those before it, as retention does; returns whether the month is gone."""

    async def drop_month(year: int, month: int) -> bool:
        await set_retention(servers.migration_url("audit"), 1)
        try:
            await partitions.drop_expired(audit.pool, 1, datetime(year, month + 1, 2, tzinfo=UTC))
        finally:
            await set_retention(servers.migration_url("audit"), None)
        name = f"months.events_{year}_{month:02}"
        return await database.fetchval("SELECT to_regclass($1)", name) is None

    await sign()  # what other tests have left of years before
    return drop_month


async def fill(receive: Any, tenant: str, month: str, count: int) -> None:
    await receive(
        *(
            heard(tenant, "user.created", new_id("usr"), time=f"{month}-15T10:00:00Z")
            for _ in range(count)
        )
    )


async def inclusion(audit: Owner, tenant: str, sequence: int) -> dict[str, Any]:
    event_id = await audit.pool.fetchval(
        "SELECT id FROM events WHERE tenant_id = $1 AND sequence = $2", tenant, sequence
    )
    answer = await audit.call(calls.GET_INCLUSION, tenant, path={"event_id": event_id})
    assert answer.status == 200
    return dict(answer.body)


def root_of(proof: dict[str, Any]) -> bytes:
    """By the ranges that each hash of the path is over."""
    found = merkle.leaf_hash(base64.b64decode(proof["leaf"]))
    ranges = merkle.inclusion_ranges(proof["index"], proof["size"])
    for (start, _), each in zip(ranges, map(base64.b64decode, proof["hashes"]), strict=True):
        pair = (each, found) if start < proof["index"] else (found, each)
        found = merkle.node_hash(*pair)
    return found


@pytest.mark.parametrize(("older", "newer"), [(60, 40), (300, 100), (256, 1), (511, 3)])
async def test_proofs_hold_when_their_beginning_was_dropped(
    audit: Owner, receive, tenant: str, sign: Sign, drop, tmp_path: Path, older: int, newer: int
) -> None:
    await fill(receive, tenant, "2011-01", older)
    await fill(receive, tenant, "2011-02", newer)
    await sign()
    before = (await audit.call(calls.GET_CHECKPOINT, tenant)).reply.body
    assert await drop(2011, 1)
    signed = note.parse(before.decode())
    proof = await inclusion(audit, tenant, older + 1)
    assert root_of(proof) == signed.root
    await fill(receive, tenant, "2011-02", 300)
    await sign()
    grown = note.parse((await audit.call(calls.GET_CHECKPOINT, tenant)).reply.body.decode())
    assert grown.size == older + newer + 300
    assert root_of(await inclusion(audit, tenant, older + newer + 7)) == grown.root
    query = {"from": signed.size, "to": grown.size}
    assert (await audit.call(calls.GET_CONSISTENCY, tenant, query=query)).status == 200
    verdicts = [
        await verified(audit, tenant, tmp_path, before, given)
        for given in (None, proof, await inclusion(audit, tenant, older + 1))
    ]
    assert [each["valid"] for each in verdicts] == [False, True, True]
    assert (verdicts[0]["first_broken"]["sequence"], verdicts[0]["fault"]) == (1, "cut")
    assert verdicts[1]["proven"] == signed.size
    assert await drop(2011, 2)


async def verified(
    audit: Owner, tenant: str, folder: Path, checkpoint: bytes, proof: dict[str, Any] | None
) -> dict[str, Any]:
    answers = {
        "export": (await audit.call(calls.EXPORT_EVENTS, tenant)).reply.body,
        "key": (await audit.call(calls.GET_CHECKPOINT_KEYS, tenant)).reply.body,
        "checkpoint": checkpoint,
        "inclusion": orjson.dumps(proof),
    }
    for name, content in answers.items():
        (folder / name).write_bytes(content)
    given = None if proof is None else folder / "inclusion"
    evidence = read_evidence([folder / "checkpoint"], [str(folder / "key")], given)
    return verify_file(folder / "export", None, evidence)


async def test_a_trail_of_before_gets_its_tree_with_its_next_checkpoint(
    audit: Owner, database: Pool, receive, tenant: str, sign: Sign, servers: Servers, drop
) -> None:
    await fill(receive, tenant, "2012-01", 1)
    await extend_trail(servers.migration_url("audit"), tenant, 700)  # no trigger looks on
    assert not await drop(2012, 1), "a month without its hashes stays"
    await fill(receive, tenant, "2012-01", 300)
    tiles = "SELECT count(*) FROM tiles WHERE tenant_id = $1"
    assert await audit.pool.fetchval(tiles, tenant) == 0, "who appends makes no more than its own"
    await sign()
    assert await audit.pool.fetchval(tiles, tenant) == 3
    signed = note.parse((await audit.call(calls.GET_CHECKPOINT, tenant)).reply.body.decode())
    assert signed.size == 1001
    assert root_of(await inclusion(audit, tenant, 300)) == signed.root
    assert await drop(2012, 1)


async def test_what_was_dropped_before_there_was_a_tree_says_so(
    audit: Owner, database: Pool, receive, tenant: str, sign: Sign, servers: Servers
) -> None:
    await extend_trail(servers.migration_url("audit"), tenant, 600)
    await database.execute(
        "INSERT INTO checkpoints SELECT tenant_id, sequence, digest FROM events"
        " WHERE tenant_id = $1 AND sequence = 300",
        tenant,
    )
    await database.execute("DELETE FROM events WHERE tenant_id = $1 AND sequence <= 300", tenant)
    await database.execute("INSERT INTO pending_checkpoints VALUES ($1)", tenant)
    await sign()
    signed = note.parse((await audit.call(calls.GET_CHECKPOINT, tenant)).reply.body.decode())
    proof = await inclusion(audit, tenant, 301)
    assert root_of(proof) == signed.root
    frontier = merkle.Frontier()
    for number in range(1, 301):
        leaf = {"dropped": True, "sequence": number, "tenant_id": tenant}
        frontier.append(merkle.leaf_hash(orjson.dumps(leaf)))
    path = [base64.b64decode(each) for each in proof["hashes"]]
    assert merkle.left_of(300, 600, path) == frontier.roots
