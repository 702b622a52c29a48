"""Checkpoints are signed of what stands in the trail, and proofs lead to them at every size."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from audit import chain, merkle, note
from audit.checkpoints import Checkpoints
from audit.note import Checkpoint, VerifierKey
from chassis.database import Pool
from contracts import audit as calls
from contracts.ids import new_id
from support.owner import CHECKPOINT_SEEDS, Owner, audit_settings, heard
from tenantry.servers import Servers

Sign = Callable[..., Awaitable[Checkpoints]]


@pytest.fixture
def sign(audit: Owner, servers: Servers) -> Sign:
    """Signs what is pending, as the background task does."""

    async def sign_pending(**settings: Any) -> Checkpoints:
        checkpoints = Checkpoints(audit.pool, audit_settings(servers, **settings), lambda: None)
        await checkpoints.sign_pending()
        return checkpoints

    return sign_pending


async def checkpoint_of(audit: Owner, tenant: str) -> Checkpoint:
    """The newest one, verified by the keys that are published."""
    text = (await audit.call(calls.GET_CHECKPOINT, tenant)).reply.body.decode()
    keys = (await audit.call(calls.GET_CHECKPOINT_KEYS, tenant)).reply.body.decode()
    return note.verify(text, map(VerifierKey.parse, keys.splitlines()))


async def grow(receive, tenant: str, count: int) -> None:
    while count > 0:
        some = min(count, 200)
        data = {"changes": {"email": {"from": "a@x.test", "to": "b@x.test"}}}
        await receive(*(heard(tenant, "user.updated", new_id("usr"), data) for _ in range(some)))
        count -= some


async def leaves(audit: Owner, tenant: str) -> list[bytes]:
    """What the tree is made of, from the rows themselves."""
    rows = await audit.pool.fetch(
        "SELECT * FROM events WHERE tenant_id = $1 ORDER BY sequence", tenant
    )
    found, previous = [], None
    for row in rows:
        event = type("Event", (), dict(row))
        found.append(chain.entry_json(event, previous))  # type: ignore[arg-type]
        previous = row["digest"]
    return found


def root_of(leaves: list[bytes]) -> bytes:
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier.append(merkle.leaf_hash(leaf))
    return frontier.root()


def root_by_path(proof: dict[str, Any]) -> bytes:
    """RFC 9162, section 2.1.3.2: written anew, so that it does not share our mistakes."""
    fn, sn = proof["index"], proof["size"] - 1
    found = hashlib.sha256(b"\0" + base64.b64decode(proof["leaf"])).digest()
    for each in map(base64.b64decode, proof["hashes"]):
        assert sn > 0
        if fn & 1 or fn == sn:
            found = hashlib.sha256(b"\1" + each + found).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = hashlib.sha256(b"\1" + found + each).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return found


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
async def test_a_checkpoint_has_the_root_of_the_trail(
    audit: Owner, receive, tenant: str, sign: Sign, count: int
) -> None:
    await grow(receive, tenant, count)
    await sign()
    checkpoint = await checkpoint_of(audit, tenant)
    assert checkpoint.origin == f"audit.test/audit/{tenant}"
    assert (checkpoint.size, checkpoint.root) == (count, root_of(await leaves(audit, tenant)))


async def test_every_event_is_proven_to_be_in_the_tree_at_every_size(
    audit: Owner, receive, tenant: str, sign: Sign
) -> None:
    await grow(receive, tenant, 520)
    await sign()
    all_leaves = await leaves(audit, tenant)
    ids = [orjson.loads(leaf)["id"] for leaf in all_leaves]
    for number in (0, 1, 254, 255, 256, 300, 511, 512, 519):
        for size in (None, number + 1, 300, 512, 520):
            if size is not None and size <= number:
                continue
            answer = await audit.call(
                calls.GET_INCLUSION,
                tenant,
                path={"event_id": ids[number]},
                query={} if size is None else {"size": size},
            )
            calls.Inclusion.model_validate(answer.body)
            assert answer.body["index"] == number
            assert base64.b64decode(answer.body["leaf"]) == all_leaves[number]
            assert root_by_path(answer.body) == root_of(all_leaves[: answer.body["size"]])


async def test_two_sizes_are_proven_consistent(audit: Owner, receive, tenant: str) -> None:
    await grow(receive, tenant, 520)
    all_leaves = await leaves(audit, tenant)
    for first, size in ((0, 5), (1, 2), (3, 7), (256, 257), (255, 520), (512, 520), (520, 520)):
        query = {"from": first, "to": size}
        answer = await audit.call(calls.GET_CONSISTENCY, tenant, query=query)
        found = [base64.b64decode(each) for each in answer.body["hashes"]]
        expected = [
            root_of_range(all_leaves, *each) for each in merkle.consistency_ranges(first, size)
        ]
        assert (answer.body["from"], answer.body["to"], found) == (first, size, expected)


def root_of_range(leaves: list[bytes], start: int, end: int) -> bytes:
    return root_of(leaves[start:end])


async def test_a_checkpoint_is_told_and_makes_no_other_one(
    audit: Owner, receive, tenant: str, sign: Sign
) -> None:
    await grow(receive, tenant, 3)
    await sign()
    told = [each for each in await audit.events(tenant) if each["type"] == "audit.checkpoint"]
    assert [each["data"]["size"] for each in told] == [3]
    calls.AuditCheckpoint.model_validate(told[0]["data"])
    # It comes back by the stream as every event does.
    event = heard(tenant, "audit.checkpoint", tenant, told[0]["data"], actor=("system", None))
    await receive(event)
    await sign()
    assert (await checkpoint_of(audit, tenant)).size == 3
    assert len(await audit.events(tenant)) == 1
    feed = (await audit.call(calls.GET_FEED, tenant)).body["events"]
    shown = feed[-1]["changes"]["checkpoint"]["to"]
    assert (feed[-1]["action"], note.parse(shown).size) == ("audit.checkpoint", 3)
    await grow(receive, tenant, 1)
    await sign()
    assert (await checkpoint_of(audit, tenant)).size == 5


async def test_older_keys_still_verify_after_a_rotation(
    audit: Owner, receive, tenant: str, sign: Sign
) -> None:
    await grow(receive, tenant, 2)
    await sign()
    old = await audit.call(calls.GET_CHECKPOINT_KEYS, tenant)
    newer = "s2:" + base64.b64encode(bytes(range(32))).decode()
    await grow(receive, tenant, 2)
    await sign(audit_checkpoint_seeds=f"{newer},{CHECKPOINT_SEEDS}")
    text = (await audit.call(calls.GET_CHECKPOINT, tenant)).reply.body.decode()
    assert note.verify(text, [VerifierKey.parse(old.reply.body.decode())]).size == 4
    await grow(receive, tenant, 2)
    await sign(audit_checkpoint_seeds=newer)
    keys = (await audit.call(calls.GET_CHECKPOINT_KEYS, tenant)).reply.body.decode().splitlines()
    assert len(keys) == 2
    assert old.reply.body.decode().strip() in keys
    assert (await checkpoint_of(audit, tenant)).size == 6


async def test_what_cannot_be_proven_is_refused_with_what_to_do(
    audit: Owner, receive, tenant: str, sign: Sign
) -> None:
    assert (await audit.call(calls.GET_CHECKPOINT, tenant)).status == 404
    consistency = await audit.call(calls.GET_CONSISTENCY, tenant, query={"from": 1, "to": 1})
    assert (consistency.status, consistency.body["errors"][0]["field"]) == (422, "to")
    await grow(receive, tenant, 3)
    rows = await audit.pool.fetch("SELECT id FROM events WHERE tenant_id = $1 ORDER BY 1", tenant)
    path = {"event_id": rows[-1]["id"]}
    pending = await audit.call(calls.GET_INCLUSION, tenant, path=path)
    assert (pending.status, pending.body["code"]) == (409, "checkpoint_pending")
    await sign()
    for size in (2, 4):
        answer = await audit.call(calls.GET_INCLUSION, tenant, path=path, query={"size": size})
        assert (answer.status, answer.body["errors"][0]["field"]) == (422, "size")
    for query in ({"from": 1, "to": 4}, {"from": 3, "to": 2}, {"to": 2}, {"from": -1, "to": 2}):
        assert (await audit.call(calls.GET_CONSISTENCY, tenant, query=query)).status == 422
    unknown = {"event_id": new_id("evt")}
    assert (await audit.call(calls.GET_INCLUSION, tenant, path=unknown)).status == 404
    other = await audit.call(calls.GET_INCLUSION, new_id("ten"), path=path)
    assert other.status == 404


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE events SET action = 'user.created' WHERE tenant_id = $1 AND sequence = 2",
        "DELETE FROM events WHERE tenant_id = $1 AND sequence = 2",
        "UPDATE heads SET sequence = 2 WHERE tenant_id = $1",
        "UPDATE signed_checkpoints SET note = replace(note, 'test', 'x') WHERE tenant_id = $1",
    ],
)
async def test_a_trail_that_is_not_what_was_signed_is_not_signed_again(
    audit: Owner, database: Pool, receive, tenant: str, sign: Sign, tampering: str
) -> None:
    await grow(receive, tenant, 5)
    await sign()
    signed = await checkpoint_of(audit, tenant)
    await database.execute(tampering, tenant)
    await database.execute("INSERT INTO pending_checkpoints VALUES ($1)", tenant)
    checkpoints = await sign()
    assert tenant in checkpoints.doubted
    assert (await checkpoints.check())["status"] == "degraded"
    if "signed_checkpoints" not in tampering:
        assert await checkpoint_of(audit, tenant) == signed
    await database.execute("DELETE FROM pending_checkpoints WHERE tenant_id = $1", tenant)
