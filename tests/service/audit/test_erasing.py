"""Erasing: a deleted user, a deleted tenant, and what is older than the retention."""

from datetime import UTC, datetime

import orjson
from audit import erasure, partitions
from chassis.database import Pool
from contracts import audit as calls
from contracts.ids import new_id
from support.owner import Owner, heard, heard_lifecycle

EMAIL = "ada.lovelace@example.com"
ADDRESS = "198.51.100.77"


async def tables_with(behind: Pool, *needles: str) -> set[str]:
    """The tables, of whatever schema, in which one of the texts stands."""
    names = await behind.fetch(
        "SELECT schemaname || '.' || tablename FROM pg_tables"
        " WHERE schemaname IN ('public', 'months')"
    )
    found = set()
    for (name,) in names:
        dump = "\n".join([row[0] for row in await behind.fetch(f"SELECT t::text FROM {name} t")])
        if any(needle in dump or needle.encode().hex() in dump for needle in needles):
            found.add(name)
    return found


async def test_a_deleted_user_is_gone_and_the_proof_holds(
    audit: Owner, behind: Pool, tenant: str, hear
) -> None:
    user, other = new_id("usr"), new_id("usr")
    moved = {"changes": {"email": {"from": EMAIL, "to": "x@example.com"}}}
    by_user = {"actor": ("user", user), "ip_address": ADDRESS, "user_agent": EMAIL}
    await hear(
        heard(tenant, "user.created", user, ip_address=ADDRESS),
        heard(tenant, "user.updated", user, moved),
        heard(tenant, "organization.created", new_id("org"), **by_user),
        heard(tenant, "session.created", new_id("ses"), {"user_id": user}, ip_address=ADDRESS),
        heard(tenant, "user.updated", other, {"changes": {"name": {"from": "B", "to": "C"}}}),
    )
    assert await tables_with(behind, EMAIL, ADDRESS)
    await hear(
        heard(tenant, "user.updated", user, moved),
        heard(tenant, "user.deleted", user, {"user_id": user}, ip_address=ADDRESS),
        heard(tenant, "session.revoked", new_id("ses"), {"user_id": user}, ip_address=ADDRESS),
    )
    # What comes late, or is tried again after a failure, brings nothing back.
    await hear(heard(tenant, "user.updated", user, moved, **by_user))
    assert await tables_with(behind, EMAIL, ADDRESS) == set()

    proof = (await audit.ask(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["length"]) == (True, 9)
    events = (await audit.ask(calls.LIST_EVENTS, tenant)).body["events"]
    kept = [each for each in events if each["resource_id"] == other]
    assert kept[0]["changes"] == {"name": {"from": "B", "to": "C"}}
    assert kept[0]["ip_address"] == "203.0.113.7"
    gone = [each for each in events if each["resource_id"] == user]
    assert len(gone) == 5
    assert all(each["changes"] == {} and each["ip_address"] is None for each in gone)


async def test_an_erased_tenant_leaves_its_tombstone_only(
    audit: Owner, behind: Pool, tenant: str, hear
) -> None:
    neighbour = new_id("ten")
    await hear(
        *(heard(tenant, "user.created", new_id("usr")) for _ in range(30)),
        heard(neighbour, "user.created", new_id("usr")),
    )
    await hear(
        heard(tenant, "user.created", new_id("usr")),
        heard_lifecycle(tenant, "tenant.deletion_requested"),
        heard(neighbour, "user.created", new_id("usr")),
    )
    await hear(heard(tenant, "tenant.deleted", tenant))
    erasure_steps = 0
    while await erasure.erase_next(audit.pool):
        erasure_steps += 1
    assert erasure_steps >= 2
    (told,) = await audit.events(tenant)
    assert (told["type"], told["tenantid"]) == ("tenant.erased", tenant)
    assert await tables_with(behind, tenant) == {"public.heads", "public.outbox"}

    await hear(heard(tenant, "tenant.deleted", tenant))
    assert (await audit.ask(calls.LIST_EVENTS, tenant)).body["events"] == []
    proof = (await audit.ask(calls.GET_PROOF, neighbour)).body
    assert (proof["valid"], proof["length"]) == (True, 2)

    await hear(heard_lifecycle(tenant, "tenant.deletion_requested"))
    while await erasure.erase_next(audit.pool):
        pass
    assert len(await audit.events(tenant)) == 2


async def test_retention_drops_whole_months_and_the_proof_goes_on(
    audit: Owner, behind: Pool, tenant: str, hear
) -> None:
    times = ["2019-03-30T10:00:00Z", "2019-03-31T23:59:59Z", "2019-04-01T00:00:01Z"]
    # Late by a day, filed where the log then stood: in April, and not dropped with March.
    times += ["2019-03-31T12:00:00Z", "2019-04-30T10:00:00Z"]
    users = [new_id("usr") for _ in times]
    for time, user in zip(times, users, strict=True):
        await hear(heard(tenant, "user.created", user, time=time, actor=("user", user)))
    now = datetime(2019, 5, 15, tzinfo=UTC)
    assert await partitions.drop_old(audit.pool, 45, now) == 0
    assert await partitions.drop_old(audit.pool, 44, now) == 1

    page = (await audit.ask(calls.LIST_EVENTS, tenant)).body
    assert [each["sequence"] for each in page["events"]] == [5, 4, 3]
    assert page["pagination"]["total"] == 3
    query = {"action": "user.*", "end_date": "2019-03-31"}
    page = (await audit.ask(calls.LIST_EVENTS, tenant, query=query)).body
    assert [each["sequence"] for each in page["events"]] == [4]
    assert page["pagination"]["total"] == 1
    assert "months.personal_2019_03" not in await tables_with(behind, users[0])
    proof = (await audit.ask(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["length"]) == (True, 3)

    await hear(heard(tenant, "user.created", new_id("usr"), time="2019-05-01T00:00:00Z"))
    await behind.execute("DELETE FROM events WHERE tenant_id = $1 AND sequence = 3", tenant)
    proof = (await audit.ask(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["first_broken"]) == (False, 3)


async def test_months_are_made_ahead_and_for_any_event(
    audit: Owner, behind: Pool, tenant: str, hear
) -> None:
    await partitions.make_ahead(audit.pool, datetime(2031, 12, 5, tzinfo=UTC))
    await partitions.make_ahead(audit.pool, datetime(2031, 12, 5, tzinfo=UTC))
    await hear(
        heard(tenant, "user.created", new_id("usr"), time="1999-12-31T23:59:59.999999Z"),
        heard(tenant, "user.created", new_id("usr"), time="2044-02-29T00:00:00Z"),
    )
    rows = await behind.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'months'")
    names = {row[0] for row in rows}
    for month in ("2031_12", "2032_01", "2032_02", "1999_12", "2044_02"):
        assert {f"events_{month}", f"personal_{month}"} <= names
    proof = (await audit.ask(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["length"]) == (True, 2)
    assert orjson.dumps(proof)
