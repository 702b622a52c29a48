"""The export: the whole list in chunks, which anybody can verify."""

import csv
import io
from typing import Any

import orjson
import pytest
from audit import export, queries
from audit.verify import verify_export
from contracts import audit as calls
from contracts.ids import new_id
from support.owner import Owner, heard


async def exported(audit: Owner, tenant: str, **query: Any) -> list[bytes]:
    """All chunks, as the edge asks for them."""
    chunks: list[bytes] = []
    while True:
        reply = (await audit.call(calls.EXPORT_EVENTS, tenant, query=query)).reply
        assert reply.status == 200
        chunks.append(reply.body)
        if calls.NEXT_HEADER not in reply.headers:
            return chunks
        query["before"] = reply.headers[calls.NEXT_HEADER]


async def listed(audit: Owner, tenant: str, **query: Any) -> list[dict[str, Any]]:
    events, cursor = [], None
    while True:
        part = query | {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = (await audit.call(calls.LIST_EVENTS, tenant, query=part)).body
        events += page["events"]
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            return events


@pytest.fixture
async def log(tenant: str, receive: Any) -> str:
    """2,100 events, each third about a person."""
    data = {"changes": {"email": {"from": "é", "to": 1.5}, "status": {"from": 1, "to": [2]}}}
    kinds = (
        ("user.updated", "usr", data),
        ("project.created", "prj", {}),
        ("user.created", "usr", {}),
    )
    events = [
        heard(tenant, kind, new_id(prefix), data, time=f"2026-01-{1 + number % 28:02}T10:00:00Z")
        for number in range(700)
        for kind, prefix, data in kinds
    ]
    for start in range(0, len(events), 300):
        await receive(*events[start : start + 300])
    return tenant


async def test_the_export_equals_the_list(audit: Owner, log: str) -> None:
    queries: list[dict[str, str]] = [
        {},
        {"action": "user.*", "start_date": "2026-01-03", "end_date": "2026-01-20"},
        {"resource_type": "project", "actor_type": "api_key"},
        {"action": "webhook.created"},
        {"action": "user.created", "resource_type": "project"},
    ]
    for query in queries:
        chunks = await exported(audit, log, **query)
        lines = b"".join(chunks).splitlines()
        events = [orjson.loads(line) for line in lines]
        for event in events:
            calls.ExportedEvent.model_validate(event)
        names = set(calls.AuditEvent.model_fields)
        plain = [{name: event[name] for name in event if name in names} for event in events]
        assert plain == await listed(audit, log, **query)
        assert all(chunk.count(b"\n") <= export.CHUNK for chunk in chunks)


async def test_an_export_is_verified_by_whoever_holds_it(
    audit: Owner, log: str, receive: Any
) -> None:
    lines = b"".join(await exported(audit, log)).splitlines()
    proof = (await audit.call(calls.GET_PROOF, log)).body
    verdict = verify_export(lines)
    assert (verdict.length, verdict.head, verdict.first_broken) == (2100, proof["head"], None)

    changed = [line.replace(b'"user.created"', b'"user.deleted"') for line in lines[:1]] + lines[1:]
    assert verify_export(changed).first_broken == 2100
    at = len(lines) - 1234
    event = orjson.loads(lines[at])
    changed = [*lines[:at], orjson.dumps(event | {"user_agent": "x"}), *lines[at + 1 :]]
    assert verify_export(changed).first_broken == 1234
    assert verify_export([*lines[:at], *lines[at + 1 :]]).first_broken == 1234
    assert verify_export([*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]).first_broken
    checkpoint = bytes.fromhex(orjson.loads(lines[100])["seal"]["digest"])
    assert verify_export(lines[:100], checkpoint).first_broken is None
    assert verify_export(lines[:100], b"\0" * 32).first_broken == 2001
    assert verify_export(lines[:100]).first_broken is None

    user = next(e["resource_id"] for e in map(orjson.loads, lines) if e["personal"])
    await receive(heard(log, "user.deleted", user))
    verdict = verify_export(b"".join(await exported(audit, log)).splitlines())
    assert (verdict.length, verdict.first_broken) == (2101, None)


async def test_csv_has_one_header_and_no_formulas(audit: Owner, tenant: str, receive: Any) -> None:
    agents = ["=1+1", "+1", "-1", "@SUM(A1)", 'quoted, "so"', "two\nlines", "plain"]
    await receive(
        *(heard(tenant, "user.created", new_id("usr"), user_agent=agent) for agent in agents),
        *(heard(tenant, "user.created", new_id("usr")) for _ in range(1000)),
    )
    chunks = await exported(audit, tenant, format="csv")
    assert len(chunks) == 2
    rows = list(csv.DictReader(io.StringIO(b"".join(chunks).decode(), newline="")))
    assert list(rows[0]) == list(calls.AuditEvent.model_fields)
    assert [row["sequence"] for row in rows] == [str(number) for number in range(1007, 0, -1)]
    shown = ["'=1+1", "'+1", "'-1", "'@SUM(A1)", 'quoted, "so"', "two\nlines", "plain"]
    assert [row["user_agent"] for row in reversed(rows)][:7] == shown
    empty = await exported(audit, new_id("ten"), format="csv")
    assert [chunk.count(b"\r\n") for chunk in empty] == [1]


async def test_large_events_are_sent_in_smaller_chunks(
    audit: Owner, tenant: str, receive: Any
) -> None:
    data = {"changes": {"metadata": {"from": "x" * 100_000, "to": "y" * 100_000}}}
    await receive(*(heard(tenant, "project.updated", new_id("prj"), data) for _ in range(8)))
    chunks = await exported(audit, tenant)
    assert len(chunks) > 1
    assert all(len(chunk) <= queries.MAX_REPLY_BYTES for chunk in chunks)
    assert b"".join(chunks).count(b"\n") == 8
    after, seen = 0, []
    while after < 8:
        answer = await audit.call(calls.GET_FEED, tenant, query={"after": after})
        assert len(answer.reply.body) < 1_000_000
        seen += [each["sequence"] for each in answer.body["events"]]
        after = answer.body["next_after"]
        assert answer.body["has_more"] is (after < 8)
    assert seen == list(range(1, 9))
