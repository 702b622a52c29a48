"""Erasure: of a deleted user, of a deleted tenant, and of what is older than the retention."""

from datetime import UTC, datetime

import asyncpg
import orjson
import pytest
from audit import partitions, tenant_erasure
from chassis.database import Pool
from contracts import audit as calls
from contracts.ids import new_id
from support.owner import Owner, heard, heard_lifecycle
from tenantry.operations.audit_retention import set_retention
from tenantry.servers import Servers

EMAIL = "ada.lovelace@example.com"
ADDRESS = "198.51.100.77"


async def tables_with(database: Pool, *needles: str) -> set[str]:
    """The tables, of whatever schema, in which one of the texts stands."""
    names = await database.fetch(
        "SELECT schemaname || '.' || tablename FROM pg_tables"
        " WHERE schemaname IN ('public', 'months')"
    )
    found = set()
    for (name,) in names:
        dump = "\n".join([row[0] for row in await database.fetch(f"SELECT t::text FROM {name} t")])
        if any(needle in dump or needle.encode().hex() in dump for needle in needles):
            found.add(name)
    return found


async def erase_tenants(audit: Owner) -> None:
    await tenant_erasure.TENANT_ERASURE.run(audit.pool, lambda: None)


async def test_a_deleted_user_is_erased_and_the_proof_holds(
    audit: Owner, database: Pool, tenant: str, receive
) -> None:
    user, other = new_id("usr"), new_id("usr")
    moved = {"changes": {"email": {"from": EMAIL, "to": "x@example.com"}}}
    by_user = {"actor": ("user", user), "ip_address": ADDRESS, "user_agent": EMAIL}
    await receive(
        heard(tenant, "user.created", user, ip_address=ADDRESS),
        heard(tenant, "user.updated", user, moved),
        heard(tenant, "organization.created", new_id("org"), **by_user),
        heard(tenant, "session.created", new_id("ses"), {"user_id": user}, ip_address=ADDRESS),
        heard(tenant, "user.updated", other, {"changes": {"name": {"from": "B", "to": "C"}}}),
    )
    assert await tables_with(database, EMAIL, ADDRESS)
    await receive(
        heard(tenant, "user.updated", user, moved),
        heard(tenant, "user.deleted", user, {"user_id": user}, ip_address=ADDRESS),
        heard(tenant, "session.revoked", new_id("ses"), {"user_id": user}, ip_address=ADDRESS),
    )
    # What comes late, or is tried again after a failure, brings nothing back.
    await receive(heard(tenant, "user.updated", user, moved, **by_user))
    assert await tables_with(database, EMAIL, ADDRESS) == set()

    proof = (await audit.call(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["length"]) == (True, 9)
    events = (await audit.call(calls.LIST_EVENTS, tenant)).body["events"]
    kept = [each for each in events if each["resource_id"] == other]
    assert kept[0]["changes"] == {"name": {"from": "B", "to": "C"}}
    assert kept[0]["ip_address"] == "203.0.113.7"
    erased = [each for each in events if each["resource_id"] == user]
    assert len(erased) == 5
    assert all(each["changes"] == {} and each["ip_address"] is None for each in erased)


async def test_an_erased_tenant_leaves_its_tombstone_only(
    audit: Owner, database: Pool, tenant: str, receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbour = new_id("ten")
    await receive(
        *(heard(tenant, "user.created", new_id("usr")) for _ in range(30)),
        heard(neighbour, "user.created", new_id("usr")),
    )
    await receive(
        heard(tenant, "user.created", new_id("usr")),
        heard_lifecycle(tenant, "tenant.deletion_requested"),
        heard(neighbour, "user.created", new_id("usr")),
    )
    await receive(heard(tenant, "tenant.deleted", tenant))
    monkeypatch.setattr(tenant_erasure, "BATCH", 20)  # of 30 events: several transactions
    await erase_tenants(audit)
    (confirmation,) = await audit.events(tenant)
    assert (confirmation["type"], confirmation["tenantid"]) == ("tenant.erased", tenant)
    assert await tables_with(database, tenant) == {
        "public.heads",
        "public.marks",
        "public.outbox",
    }

    await receive(heard(tenant, "tenant.deleted", tenant))
    assert (await audit.call(calls.LIST_EVENTS, tenant)).body["events"] == []
    proof = (await audit.call(calls.GET_PROOF, neighbour)).body
    assert (proof["valid"], proof["length"]) == (True, 2)

    await receive(heard_lifecycle(tenant, "tenant.deletion_requested"))
    await erase_tenants(audit)
    assert len(await audit.events(tenant)) == 2


async def test_retention_drops_whole_months_and_the_proof_holds(
    audit: Owner, database: Pool, tenant: str, receive, servers: Servers
) -> None:
    times = ["2019-03-30T10:00:00Z", "2019-03-31T23:59:59Z", "2019-04-01T00:00:01Z"]
    # Late by a day, filed where the log then stood: in April, and not dropped with March.
    times += ["2019-03-31T12:00:00Z", "2019-04-30T10:00:00Z"]
    users = [new_id("usr") for _ in times]
    for time, user in zip(times, users, strict=True):
        await receive(heard(tenant, "user.created", user, time=time, actor=("user", user)))
    now = datetime(2019, 5, 15, tzinfo=UTC)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="tenantry migrate"):
        await partitions.drop_expired(audit.pool, 45, now)
    await set_retention(servers.migration_url("audit"), 44)
    assert await partitions.drop_expired(audit.pool, 45, now) == 0
    assert await partitions.drop_expired(audit.pool, 44, now) == 1

    page = (await audit.call(calls.LIST_EVENTS, tenant)).body
    assert [each["sequence"] for each in page["events"]] == [5, 4, 3]
    assert page["pagination"]["total"] == 3
    query = {"action": "user.*", "end_date": "2019-03-31"}
    page = (await audit.call(calls.LIST_EVENTS, tenant, query=query)).body
    assert [each["sequence"] for each in page["events"]] == [4]
    assert page["pagination"]["total"] == 1
    assert "months.personal_2019_03" not in await tables_with(database, users[0])
    proof = (await audit.call(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["length"], proof["floor"]) == (True, 3, 2)
    (mark,) = proof["marks"]
    assert (mark["kind"], mark["sequence"]) == ("dropped", 2)
    # What is younger than the retention of the database is never dropped, whatever is asked for.
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await partitions.drop_expired(audit.pool, 43)
    await set_retention(servers.migration_url("audit"), None)

    await receive(heard(tenant, "user.created", new_id("usr"), time="2019-05-01T00:00:00Z"))
    await database.execute("DELETE FROM events WHERE tenant_id = $1 AND sequence = 3", tenant)
    proof = (await audit.call(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["first_broken"]) == (False, 3)


async def test_months_are_created_ahead_and_for_any_event(
    audit: Owner, database: Pool, tenant: str, receive
) -> None:
    await partitions.create_ahead(audit.pool, datetime(2031, 12, 5, tzinfo=UTC))
    await partitions.create_ahead(audit.pool, datetime(2031, 12, 5, tzinfo=UTC))
    await receive(
        heard(tenant, "user.created", new_id("usr"), time="1999-12-31T23:59:59.999999Z"),
        heard(tenant, "user.created", new_id("usr"), time="2044-02-29T00:00:00Z"),
    )
    rows = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'months'")
    names = {row[0] for row in rows}
    for month in ("2031_12", "2032_01", "2032_02", "1999_12", "2044_02"):
        assert {f"events_{month}", f"personal_{month}"} <= names
    proof = (await audit.call(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["length"]) == (True, 2)
    assert orjson.dumps(proof)
