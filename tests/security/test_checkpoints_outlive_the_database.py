"""Whoever controls the database, and mends its chain, contradicts what was kept outside.

The trail has 12 events. The customer has kept the checkpoints of 6 and of 12, and the key.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from audit import chain
from audit.checkpoints import Checkpoints
from audit.rpc import handlers
from audit.settings import AuditSettings
from audit.subscribers import handle_events
from chassis.database import open_pool
from contracts import audit as calls
from contracts.ids import new_id
from outbox.inbox import process_once
from support.owner import Owner, audit_settings, heard, owner_of
from tenantry.operations.audit_verification import verify_file
from tenantry.operations.checkpoint_files import read_evidence
from tenantry.servers import Servers

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
async def audit(servers: Servers) -> AsyncIterator[Owner]:
    pool = await open_pool(servers.database_url("audit"), 1)
    all_handlers = handlers(exports=pool, proofs=pool, settings=audit_settings(servers))
    async with owner_of("audit", all_handlers, servers, AuditSettings) as owner:
        yield owner
    await pool.close()


@pytest.fixture(params=["owner", "superuser"])
async def adversary(
    audit: Owner, servers: Servers, request: pytest.FixtureRequest
) -> AsyncIterator[asyncpg.Connection]:
    """Neither is stopped by a trigger or a right."""
    if request.param == "owner":
        conn = await asyncpg.connect(servers.migration_url("audit"))
    else:
        conn = await asyncpg.connect(servers.superuser_url, database="audit")
        await conn.execute("SET session_replication_role = replica")
    try:
        yield conn
    finally:
        await conn.close()


class Customer:
    """Keeps checkpoints and the key where the adversary cannot reach them."""

    def __init__(self, audit: Owner, servers: Servers, folder: Path) -> None:
        self.audit, self.folder, self.tenant = audit, folder, new_id("ten")
        self.signer = Checkpoints(audit.pool, audit_settings(servers), lambda: None)
        self.kept: list[Path] = []
        self.key = folder / "key"

    async def happens(self, count: int) -> None:
        data = {"changes": {"email": {"from": "a@x.test", "to": "b@x.test"}}}
        events = [heard(self.tenant, "user.updated", new_id("usr"), data) for _ in range(count)]
        async with self.audit.pool.acquire() as conn:
            await process_once(conn, handle_events, events)

    async def keeps_checkpoint(self) -> None:
        await self.signer.sign_pending()
        answer = await self.audit.call(calls.GET_CHECKPOINT, self.tenant)
        self.kept.append(self.folder / f"checkpoint-{len(self.kept)}")
        self.kept[-1].write_bytes(answer.reply.body)
        keys = await self.audit.call(calls.GET_CHECKPOINT_KEYS, self.tenant)
        self.key.write_bytes(keys.reply.body)

    async def verifies(self, *checkpoints: int) -> dict[str, Any]:
        export = self.folder / "export"
        answer = await self.audit.call(calls.EXPORT_EVENTS, self.tenant)
        export.write_bytes(answer.reply.body)
        kept = [self.kept[number] for number in checkpoints or range(len(self.kept))]
        return verify_file(export, None, read_evidence(kept, [str(self.key)], None))


@pytest.fixture
async def customer(audit: Owner, servers: Servers, tmp_path: Path) -> Customer:
    customer = Customer(audit, servers, tmp_path)
    for _ in range(2):
        await customer.happens(6)
        await customer.keeps_checkpoint()
    return customer


async def forge(conn: asyncpg.Connection, tenant: str, change: Callable[[Rows], Rows]) -> None:
    """Another past: numbered and chained as if it had always been so."""
    async with conn.transaction():
        found = await conn.fetch("SELECT * FROM events WHERE tenant_id = $1 ORDER BY 2", tenant)
        rows = change([dict(row) for row in found])
        await conn.execute("DELETE FROM events WHERE tenant_id = $1", tenant)
        previous = None
        for number, row in enumerate(rows, rows[0]["sequence"] if rows else 1):
            row |= {"sequence": number}
            row["digest"] = previous = chain.digest(type("Row", (), row), previous)  # type: ignore[arg-type]
            places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
            await conn.execute(
                f"INSERT INTO events ({', '.join(row)}) VALUES ({places})", *row.values()
            )
        await conn.execute("DELETE FROM personal WHERE tenant_id = $1", tenant)
        await conn.execute(
            "UPDATE heads SET sequence = $2, digest = $3 WHERE tenant_id = $1",
            *(tenant, rows[-1]["sequence"], previous),
        )


def changed(rows: Rows) -> Rows:
    rows[8]["action"] = "user.created"
    return rows


def removed(rows: Rows) -> Rows:
    return rows[:8] + rows[9:]


def reordered(rows: Rows) -> Rows:
    rows[8], rows[9] = rows[9], rows[8]
    return rows


def inserted(rows: Rows) -> Rows:
    return [*rows[:8], {**rows[8], "id": new_id("evt")}, *rows[8:]]


def end_cut(rows: Rows) -> Rows:
    return rows[:10]


def end_cut_at_a_checkpoint(rows: Rows) -> Rows:
    return rows[:6]


def beginning_cut(rows: Rows) -> Rows:
    return rows[3:]


def replaced(rows: Rows) -> Rows:
    return [{**row, "id": new_id("evt"), "resource_id": new_id("usr")} for row in rows]


@pytest.mark.parametrize(
    ("change", "first_in_doubt", "fault"),
    [
        (changed, 7, "rewritten"),
        (removed, 7, "cut"),
        (reordered, 7, "rewritten"),
        (inserted, 7, "rewritten"),
        (end_cut, 7, "cut"),
        (end_cut_at_a_checkpoint, 7, "cut"),
        (beginning_cut, 1, "cut"),
        (replaced, 1, "rewritten"),
    ],
)
async def test_another_past_contradicts_the_kept_checkpoints(
    customer: Customer,
    adversary: asyncpg.Connection,
    change: Callable[[Rows], Rows],
    first_in_doubt: int,
    fault: str,
) -> None:
    assert (await customer.verifies())["valid"] is True
    await forge(adversary, customer.tenant, change)
    answer = await customer.audit.call(calls.GET_PROOF, customer.tenant)
    assert change is beginning_cut or answer.body["valid"] is True, "the chain alone is content"
    found = await customer.verifies()
    assert found["valid"] is False
    assert (found["first_broken"]["sequence"], found["fault"]) == (first_in_doubt, fault)
    assert f"{first_in_doubt}" in found["note"] or f"{first_in_doubt - 1}" in found["note"]


async def test_a_rollback_that_goes_on_contradicts_what_was_signed_after_it(
    customer: Customer, adversary: asyncpg.Connection
) -> None:
    """Yesterday's backup, and as many other events since as there had been."""
    await forge(adversary, customer.tenant, end_cut_at_a_checkpoint)
    found = await customer.verifies(0)
    assert (found["valid"], found["proven"]) == (True, 6)
    await adversary.execute("DELETE FROM signed_checkpoints WHERE tenant_id = $1", customer.tenant)
    await customer.happens(7)
    await customer.keeps_checkpoint()
    assert (await customer.verifies(0, 2))["valid"] is True, "the new past has its own checkpoint"
    found = await customer.verifies()
    assert (found["valid"], found["proven"]) == (False, 6)
    assert (found["first_broken"]["sequence"], found["fault"]) == (7, "rewritten")


async def test_checkpoints_in_the_trail_narrow_the_doubt(
    customer: Customer, adversary: asyncpg.Connection
) -> None:
    """Nobody can sign others in their place, so the trail itself tells when it was as it was."""
    for event in await customer.audit.events(customer.tenant):
        told = heard(customer.tenant, "audit.checkpoint", customer.tenant, event["data"])
        async with customer.audit.pool.acquire() as conn:
            await process_once(conn, handle_events, [told])
    await customer.happens(3)
    await customer.keeps_checkpoint()
    await forge(adversary, customer.tenant, changed)
    found = await customer.verifies(2)
    assert (found["valid"], found["proven"], found["fault"]) == (False, 6, "rewritten")
    assert "from 7 to 12" in found["note"]


async def test_the_runtime_role_forges_nothing(customer: Customer, servers: Servers) -> None:
    conn = await asyncpg.connect(servers.database_url("audit"))
    try:
        for statement in (
            "INSERT INTO tiles VALUES ($1, 0, 0, '', '')",
            "UPDATE tiles SET root = '' WHERE tenant_id = $1",
            "DELETE FROM tiles WHERE tenant_id = $1",
            "INSERT INTO leaves VALUES ($1, 1, '')",
            "DELETE FROM leaves WHERE tenant_id = $1",
            "UPDATE signed_checkpoints SET size = 1 WHERE tenant_id = $1",
            "DELETE FROM signed_checkpoints WHERE tenant_id = $1",
            "DELETE FROM verifier_keys WHERE tenant_id = $1",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement, customer.tenant)
        for size in (1, 12, 13):
            stored = await conn.fetchval(
                "SELECT store_checkpoint($1, $2, 'x', '{}')", customer.tenant, size
            )
            assert stored is False
    finally:
        await conn.close()
    assert (await customer.verifies())["valid"] is True


async def test_an_erased_user_changes_no_checkpoint(customer: Customer) -> None:
    event = (await customer.audit.call(calls.LIST_EVENTS, customer.tenant)).body["events"][3]
    async with customer.audit.pool.acquire() as conn:
        deletion = heard(customer.tenant, "user.deleted", event["resource_id"])
        await process_once(conn, handle_events, [deletion])
    shown = await customer.audit.call(
        calls.GET_EVENT, customer.tenant, path={"event_id": event["id"]}
    )
    assert shown.body["changes"] == {}
    found = await customer.verifies()
    assert (found["valid"], found["proven"]) == (True, 12)
