"""Erasure: of a deleted user, of a deleted tenant, and of what is older than the retention."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import pytest
from audit import append, partitions, tenant_erasure
from audit.verify import verify_export
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
    texts = [*needles, *(each.encode().hex() for each in needles)]
    return {
        name
        for (name,) in names
        if await database.fetchval(
            f"SELECT EXISTS (SELECT FROM {name} AS t, unnest($1::text[]) AS text"
            " WHERE strpos(t::text, text) > 0)",
            texts,
        )
    }


async def erase_tenants(audit: Owner) -> None:
    await tenant_erasure.TENANT_ERASURE.run(audit.pool, lambda: None)


async def test_a_deleted_user_is_erased_and_the_proof_holds(
    audit: Owner, database: Pool, tenant: str, receive
) -> None:
    user, other = new_id("usr"), new_id("usr")
    moved = {"changes": {"email": {"from": EMAIL, "to": "x@example.com"}}}
    by_user = {"actor": ("user", user), "ip_address": ADDRESS, "user_agent": EMAIL}
    await receive(
        heard(tenant, "user.created", user, **by_user),
        heard(tenant, "user.updated", user, moved),
        heard(tenant, "organization.created", new_id("org"), **by_user),
        heard(tenant, "session.created", new_id("ses"), {"user_id": user}, **by_user),
        heard(tenant, "user.updated", other, {"changes": {"name": {"from": "B", "to": "C"}}}),
    )
    assert await tables_with(database, EMAIL, ADDRESS)
    await receive(
        heard(tenant, "user.updated", user, moved),
        heard(tenant, "user.deleted", user, {"user_id": user}),
        heard(tenant, "session.revoked", new_id("ses"), {"user_id": user}, **by_user),
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
    assert all(each["changes"] == {} for each in erased)


async def test_who_did_something_to_a_deleted_user_stays(
    audit: Owner, database: Pool, tenant: str, receive
) -> None:
    """Address and agent of an administrator are not those of the user."""
    user, colleague = new_id("usr"), new_id("usr")
    moved = {"changes": {"email": {"from": EMAIL, "to": "x@example.com"}}}
    by_admin = {"ip_address": "198.51.100.1", "user_agent": "console"}
    by_colleague = {**by_admin, "actor": ("user", colleague)}
    by_user = {"ip_address": ADDRESS, "user_agent": EMAIL, "actor": ("user", user)}
    await receive(
        heard(tenant, "user.created", user, **by_admin),
        heard(tenant, "user.updated", user, moved, **by_admin),
        heard(tenant, "user.updated", user, moved, **by_colleague),
        heard(tenant, "user.updated", user, moved, **by_user),
        heard(tenant, "session.revoked", new_id("ses"), {"user_id": user}, **by_admin),
    )
    shown = (await audit.call(calls.LIST_EVENTS, tenant)).body["events"]
    assert [each["changes"] for each in shown[1:4]] == [moved["changes"]] * 3
    await receive(
        heard(tenant, "member.removed", user, **by_admin),
        heard(tenant, "user.deleted", user, {"user_id": user}, **by_admin),
        heard(tenant, "session.revoked", new_id("ses"), {"user_id": user}, **by_user),
    )
    # Late, or after a failure.
    await receive(
        heard(tenant, "user.updated", user, moved, **by_admin),
        heard(tenant, "user.updated", user, moved, **by_user),
    )
    events = (await audit.call(calls.LIST_EVENTS, tenant)).body["events"][::-1]
    assert len(events) == 10
    for event in events:
        is_erased = event["actor_id"] == user
        expected = (None, None) if is_erased else ("198.51.100.1", "console")
        assert (event["ip_address"], event["user_agent"]) == expected, event
        assert event["changes"] == {}
    assert await tables_with(database, EMAIL, ADDRESS) == set()
    proof = (await audit.call(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["length"]) == (True, 10)
    export = (await audit.call(calls.EXPORT_EVENTS, tenant, query={"format": "ndjson"})).reply.body
    assert verify_export(export.splitlines()).first_broken is None

    await receive(heard(tenant, "user.deleted", colleague, {"user_id": colleague}, **by_admin))
    events = (await audit.call(calls.LIST_EVENTS, tenant)).body["events"][::-1]
    assert [each["ip_address"] for each in events if each["actor_id"] == colleague] == [None]
    assert (await audit.call(calls.GET_PROOF, tenant)).body["valid"]


async def test_what_the_release_before_has_written_is_shown_proven_and_erased(
    audit: Owner, database: Pool, tenant: str, receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One salt binds address and fields, so both go. Without changed fields, the address stays."""
    user, other = new_id("usr"), new_id("usr")
    moved = {"changes": {"email": {"from": EMAIL, "to": "x@example.com"}}}
    with monkeypatch.context() as before:
        before.setattr(append, "_personal_part", _one_salt)
        await receive(
            *(heard(tenant, "user.updated", each, moved) for each in (user, other)),
            heard(tenant, "session.revoked", new_id("ses"), {"user_id": user}),
        )
    await database.execute(
        "UPDATE personal SET about_user = $2 WHERE tenant_id = $1 AND sequence <> 2", tenant, user
    )
    events = (await audit.call(calls.LIST_EVENTS, tenant)).body["events"]
    assert [each["changes"] for each in events] == [{}, moved["changes"], moved["changes"]]
    await receive(heard(tenant, "user.deleted", user, {"user_id": user}))
    events = (await audit.call(calls.LIST_EVENTS, tenant)).body["events"]
    assert [each["changes"] for each in events] == [{}, {}, moved["changes"], {}]
    addresses = [each["ip_address"] for each in events]
    assert addresses == ["203.0.113.7", "203.0.113.7", "203.0.113.7", None]
    assert (await audit.call(calls.GET_PROOF, tenant)).body["valid"]
    export = (await audit.call(calls.EXPORT_EVENTS, tenant, query={"format": "ndjson"})).reply.body
    lines = [orjson.loads(line) for line in export.splitlines()]
    for line in lines:  # as it was written before
        del line["seal"]["subject"], line["seal"]["subject_salt"]
    assert verify_export(map(orjson.dumps, lines)).first_broken is None


async def test_a_changed_part_of_the_subject_shows_in_the_proof(
    audit: Owner, database: Pool, tenant: str, receive
) -> None:
    moved = {"changes": {"email": {"from": EMAIL, "to": "x@example.com"}}}
    await receive(*(heard(tenant, "user.updated", new_id("usr"), moved) for _ in range(3)))
    await database.execute(
        "UPDATE personal SET subject_changes = replace(subject_changes, 'x@', 'y@')"
        " WHERE tenant_id = $1 AND sequence = 2",
        tenant,
    )
    proof = (await audit.call(calls.GET_PROOF, tenant)).body
    assert (proof["valid"], proof["first_broken"]) == (False, 2)
    export = (await audit.call(calls.EXPORT_EVENTS, tenant, query={"format": "ndjson"})).reply.body
    assert verify_export(export.splitlines()).first_broken == 2
    await database.execute(
        "UPDATE personal SET subject_salt = NULL WHERE tenant_id = $1 AND sequence = 2", tenant
    )
    assert not (await audit.call(calls.GET_PROOF, tenant)).body["valid"]


def _one_salt(entry: append.Entry) -> Any:
    """A personal part as the release before made it: `about_user` is written apart."""
    return append.PersonalPart(bytes(16), entry.personal_changes)


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
    await partitions.drop_expired(audit.pool, 45, now)  # what other tests have left of years before
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
