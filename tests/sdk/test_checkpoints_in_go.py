"""Libraries of transparency logs that are not ours verify our checkpoints and proofs, in Go."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from audit.checkpoints import Checkpoints
from audit.rpc import handlers
from audit.settings import AuditSettings
from audit.subscribers import handle_events
from chassis.database import open_pool
from contracts import audit as calls
from contracts.ids import new_id
from outbox.inbox import process_once
from support.owner import Owner, audit_settings, heard, owner_of
from support.tools import run
from tenantry.servers import Servers

SOURCE = Path(__file__).parent / "verify_checkpoints"


@pytest.mark.tools("go")
@pytest.mark.parametrize(("first", "second"), [(1, 2), (7, 300), (256, 600), (513, 1100)])
async def test_go_verifies_checkpoints_and_proofs(
    servers: Servers, tmp_path: Path, first: int, second: int
) -> None:
    verifier = tmp_path / "verify"
    run("go", "build", "-mod=readonly", "-o", verifier, ".", cwd=SOURCE)
    pool = await open_pool(servers.database_url("audit"), 1)
    all_handlers = handlers(exports=pool, proofs=pool, settings=audit_settings(servers))
    async with owner_of("audit", all_handlers, servers, AuditSettings) as audit:
        await _write_evidence(audit, servers, tmp_path, first, second)
    await pool.close()
    assert run(verifier, tmp_path, cwd=tmp_path) == "verified\n"
    for name in ("keys", "first", "second", "inclusion.json", "consistency.json"):
        kept = shutil.copy(tmp_path / name, tmp_path / "kept")
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(_altered(name, text))
        with pytest.raises(AssertionError):
            run(verifier, tmp_path, cwd=tmp_path)
        shutil.copy(kept, tmp_path / name)


async def _write_evidence(
    audit: Owner, servers: Servers, folder: Path, first: int, second: int
) -> None:
    tenant = new_id("ten")
    signer = Checkpoints(audit.pool, audit_settings(servers), lambda: None)
    for name, size in (("first", first), ("second", second)):
        count = await audit.pool.fetchval(
            "SELECT count(*) FROM events WHERE tenant_id = $1", tenant
        )
        events = [heard(tenant, "user.created", new_id("usr")) for _ in range(size - count)]
        async with audit.pool.acquire() as conn:
            await process_once(conn, handle_events, events)
        await signer.sign_pending()
        answer = await audit.call(calls.GET_CHECKPOINT, tenant)
        (folder / name).write_bytes(answer.reply.body)
    keys = await audit.call(calls.GET_CHECKPOINT_KEYS, tenant)
    (folder / "keys").write_bytes(keys.reply.body)
    events = (await audit.call(calls.LIST_EVENTS, tenant)).body["events"]
    path = {"event_id": events[len(events) // 2]["id"]}
    inclusion = await audit.call(calls.GET_INCLUSION, tenant, path=path)
    (folder / "inclusion.json").write_text(json.dumps(inclusion.body))
    query = {"from": first, "to": second}
    consistency = await audit.call(calls.GET_CONSISTENCY, tenant, query=query)
    (folder / "consistency.json").write_text(json.dumps(consistency.body))


def _altered(name: str, text: str) -> str:
    """The same form, other content."""
    if name == "keys":
        return ""
    if not name.endswith(".json"):
        return text.replace("\n", "\n1", 1)
    proof: dict[str, Any] = json.loads(text)
    proof["hashes"] = proof["hashes"][:-1]
    return json.dumps(proof)
